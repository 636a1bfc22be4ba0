//! Shares of small graphs.

use super::*;
use crate::graph::text;

const FEED_FORWARD: &str = r#"graph "feed-forward" {
  n0 = input "hidden" : f32[1, 4] ; hidden
  n1 = constant f16 absent : f32[4, 6] ; up.weight
  n2 = constant f16 absent : f32[6, 4] ; down.weight
  n3 = matmul n0, n1 : f32[1, 6] ; up
  n4 = relu n3 : f32[1, 6] ; act
  n5 = matmul n4, n2 : f32[1, 4] ; down
  n6 = add n0, n5 : f32[1, 4] ; residual
  inputs n0
  output "output" = n6
}
"#;

fn share(graph: &str, mesh: &[usize]) -> Result<Share, Diagnostic> {
    let graph = text::parse(graph).expect("a graph");
    let group = Group { mesh, lanes: 2, arrivals: &["hidden"], departures: &["output"], dense: false };
    plan(&graph, group)?.share(1)
}

#[test]
fn weights_are_cut_along_their_outputs_and_meet_all_parts_of_their_inputs() {
    let share = share(FEED_FORWARD, &[2]).expect("a share");
    insta::assert_snapshot!(share.graph, @r#"
    graph "feed-forward" {
      n0 = input "hidden" : f32[1, 2] ; hidden
      n1 = all_gather n0, chips=2, stride=1, padded=2 : f32[1, 4] ; hidden
      n2 = constant f16 absent : f32[4, 3] ; up.weight
      n3 = matmul n1, n2 : f32[1, 3] ; up
      n4 = relu n3 : f32[1, 3] ; act
      n5 = all_gather n4, chips=2, stride=1, padded=4 : f32[1, 8] ; act
      n6 = constant f16 absent : f32[8, 2] ; down.weight
      n7 = matmul n5, n6 : f32[1, 2] ; down
      n8 = add n0, n7 : f32[1, 2] ; residual
      output "output" = n8
    }
    "#);
}

#[test]
fn a_group_of_two_axes_gathers_along_the_last_one_first() {
    let group = Group { mesh: &[2, 3], lanes: 8, arrivals: &[], departures: &[], dense: false };
    assert_eq!(group.round(0), [0, 4, 2, 1, 5, 3]);
    assert_eq!(group.round(3), [3, 1, 5, 2, 0, 4]);
}

#[test]
fn what_cannot_be_cut_is_named() {
    let odd = FEED_FORWARD.replace("f32[6, 4]", "f32[6, 3]").replace("f32[1, 4] ; down", "f32[1, 3] ; down");
    let odd = odd.replace("add n0, n5 : f32[1, 4]", "relu n5 : f32[1, 3]");
    let problem = share(&odd, &[2]).expect_err("three elements for two chips");
    assert_eq!(
        problem.to_string(),
        "error[cannot-partition]: relu `residual` (n6) cannot work on the parts that 2 chips have\n  \
         use fewer chips a group (--tensor-parallel)"
    );
}

//! Systems against what is published of them: sizes, distances, framing; every wire has two ends; wrong descriptions.

use super::*;

fn preset(name: &str) -> System {
    System::preset(name).expect(name)
}

#[test]
fn sizes_are_the_published_ones() {
    for (name, chips) in [
        ("tsp-v1-node", 8),
        ("tsp-v1-rack", 72),
        ("tsp-v1-dragonfly", 264),
        ("tsp-v1-racks", 10_440),
        ("tsp-v1-ring", 576),
        ("lp30-tray", 8),
        ("lp30-node", 16),
        ("lp30-rack", 256),
        ("lp30-racks", 8192),
    ] {
        assert_eq!(preset(name).chips(), chips, "{name}");
    }
    assert_eq!(System::presets().len(), 9);
    assert_eq!(System::preset("lp30-building"), None);
}

#[test]
fn the_other_end_of_the_other_end_is_here() {
    for name in System::presets() {
        let system = preset(name);
        for chip in 0..system.chips() {
            for (port, end) in system.neighbours(chip) {
                let back = End { chip, port, level: end.level };
                assert_eq!(system.port(end.chip, end.port), Some(back), "{name}: chip {chip} port {port}");
                assert_ne!(end.chip, chip, "{name}: chip {chip} port {port}");
            }
        }
        assert_eq!(system.port(system.chips(), 0), None);
        assert_eq!(system.port(0, 255), None);
    }
}

/// How many ports of chip 0 lead to each level, and how many links its unit has with each other unit of a level.
#[test]
fn links_are_as_many_as_published() {
    let links = |name: &str, level: usize, other: u32| {
        let system = preset(name);
        let unit = system.unit_chips(level);
        let all = (0..unit).flat_map(|chip| system.neighbours(chip).map(|(_, end)| end).collect::<Vec<_>>());
        all.filter(|end| end.level == level && end.chip / unit == other).count()
    };
    assert_eq!(links("tsp-v1-node", 0, 5), 1);
    assert_eq!(links("tsp-v1-rack", 1, 8), 2);
    assert_eq!(links("tsp-v1-dragonfly", 1, 32), 1);
    assert_eq!(links("tsp-v1-racks", 2, 144), 1);
    // Eight pairs of neighbouring nodes in reach, each linked by four chips.
    for (node, expected) in [(1, 4), (4, 4), (5, 0), (67, 0), (68, 4), (71, 4)] {
        assert_eq!(links("tsp-v1-ring", 1, node), expected, "node {node}");
    }
    assert_eq!(links("lp30-tray", 0, 3), 4);
    assert_eq!(links("lp30-node", 0, 15), 4);
    assert_eq!(links("lp30-rack", 1, 9), 2 * 16);
    for (rack, expected) in [(1, 2 * 256), (2, 0), (30, 0), (31, 2 * 256)] {
        assert_eq!(links("lp30-racks", 2, rack), expected, "rack {rack}");
    }
}

#[test]
fn distances_are_the_published_ones() {
    for (name, hops) in
        [("tsp-v1-node", 1), ("tsp-v1-rack", 3), ("tsp-v1-dragonfly", 3), ("lp30-node", 1), ("lp30-rack", 2)]
    {
        assert_eq!(preset(name).diameter(), Some(hops), "{name}");
    }
    // Partitions of 72 and 136 chips of the production ring.
    let ring = |nodes| preset("tsp-v1-ring").with_count(nodes).unwrap().diameter();
    assert_eq!((ring(9), ring(17)), (Some(3), Some(5)));
}

/// 10,440 chips: published are at most 5 hops, 2 + 1 + 2. Every two racks share one link, and chips within a rack are up to 3 hops apart, so that hop
/// by hop it can be 3 + 1 + 3. It is 2 + 1 + 2 if a node counts as one router: without the hop, within a node, to or from the chip that has
/// the link between the racks.
#[test]
fn the_largest_system_is_a_few_hops_wide() {
    let system = preset("tsp-v1-racks");
    let farthest = |chip| system.distances(chip).into_iter().max().flatten();
    assert!((0..system.chips()).step_by(977).all(|chip| farthest(chip) == Some(7)));
}

#[test]
fn a_way_has_the_fewest_hops_and_the_lowest_ports() {
    for name in ["tsp-v1-rack", "tsp-v1-ring", "lp30-rack"] {
        let system = preset(name);
        let last = system.chips() - 1;
        for (from, to) in [(0, last), (last, 0), (3, 12), (12, 3), (17, 17)] {
            let way = system.route(from, to).unwrap();
            assert_eq!(way.len(), system.distances(to)[from as usize].unwrap() as usize);
            let arrive = way.iter().fold(from, |here, &(chip, port)| {
                assert_eq!(here, chip);
                system.port(chip, port).unwrap().chip
            });
            assert_eq!(arrive, to, "{name}: {from} to {to}");
        }
        assert_eq!(system.route(0, last + 1), None);
        assert_eq!(system.route(last + 1, 0), None);
    }
    let node = preset("lp30-node");
    assert_eq!(node.route(0, 1), Some(vec![(0, 0)]));
    assert_eq!(node.route(0, 2), Some(vec![(0, 4)]));
    assert_eq!(node.route(1, 0), Some(vec![(1, 56)]));
}

#[test]
fn links_in_cycles() {
    let timing = |system: &str, chip: &str| preset(system).timing(&Chip::preset(chip).unwrap());
    let tsp = LinkTiming { vector_cycles: 24, hop_cycles: 270, latency_cycles: 170, buffer_vectors: 16 };
    let lp30 = LinkTiming { vector_cycles: 40, hop_cycles: 300, latency_cycles: 200, buffer_vectors: 16 };
    assert_eq!(timing("tsp-v1-racks", "tsp-v1"), Ok(vec![tsp; 3]));
    assert_eq!(timing("lp30-rack", "lp30-wide"), Ok(vec![lp30; 2]));
    let v1_rack = timing("lp30-rack", "tsp-v1").unwrap_err();
    assert_eq!(v1_rack, ["system lp30-rack has 90 ports per chip, and tsp-v1 has 16 links"]);
    let fast = System::parse("fast", "base = \"tsp-v1-node\"\n[[levels]]\nname = \"node\"\nhop_ns = 100\n");
    let problems = fast.unwrap().timing(&Chip::preset("tsp-v1").unwrap()).unwrap_err();
    let problem =
        "links of node: a hop of 100 ns is 90 cycles of tsp-v1, and must be more than latency.c2c = 100";
    assert_eq!(problems, [problem]);
    let small = "base = \"tsp-v1-node\"\n[[levels]]\nname = \"node\"\npacket_bytes = 319\n";
    let problems = System::parse("small", small).unwrap().timing(&Chip::preset("tsp-v1").unwrap());
    let problem = "links of node: a packet of 319 bytes does not hold a vector of tsp-v1 of 320";
    assert_eq!(problems.unwrap_err(), [problem]);
}

#[test]
fn framing_takes_a_fortieth() {
    let link = &preset("tsp-v1-node").levels[0].link;
    let overhead = 1.0 - 320.0 / f64::from(link.packet_bytes);
    assert!((0.024..0.025).contains(&overhead), "{overhead}");
}

#[test]
fn ports_are_queues() {
    for port in 0..=u8::MAX {
        assert_eq!(port_of_queue(queue_of_port(port)), Some(port));
    }
    assert_eq!(queue_of_port(5).to_string(), "west.c2c2");
    assert_eq!(port_of_queue(Queue::C2c(Hemisphere::East, 200)), None);
    assert_eq!(port_of_queue(Queue::Vxm(0)), None);
}

#[test]
fn the_outermost_level_has_as_many_units_as_wanted() {
    let racks = |count| preset("lp30-racks").with_count(count);
    assert_eq!(racks(2).unwrap().chips(), 512);
    assert_eq!(racks(1).unwrap().diameter(), Some(2));
    assert_eq!(racks(0).unwrap_err(), "system joins no units, and must join at least 1");
    let nodes = preset("lp30-rack").with_count(32).unwrap_err();
    assert_eq!(nodes, "rack joins 32 units, and its ports are enough for 31");
    let ring = preset("tsp-v1-ring").with_count(1 << 18).unwrap_err();
    assert_eq!(ring, "system has 2097152 chips, and at most 1048576 are supported");
}

#[test]
fn every_problem_is_listed_with_its_field_and_line() {
    let check = |text: &str, expected: &[&str]| {
        let errors = System::parse("bad", text).expect_err(text);
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(shown, expected, "{text}");
    };
    check(
        "chip = 3\n[[levels]]\nname = \"node\"\ncount = 2.5\nwiring = \"star\"\nports = 3\nhop_ns = { value = -1, unit = \"us\" }\n",
        &[
            "line 1: chip: must be a string",
            "line 4: node.count: must be a whole number of units",
            "line 5: node.wiring: there is no wiring `star`; there are all-to-all, by-rank, ring, ring-by-rank",
            "line 6: node.ports: no such field",
            "line 7: node.hop_ns: is -1 ns, must be 0.001 to 1000000000",
            "line 7: node.hop_ns: the unit is \"ns\", not \"us\"",
            "host_us: missing",
            "node.ports_per_chip: missing",
            "node.gigabits_per_second: missing",
            "node.packet_bytes: missing",
            "node.buffer_vectors: missing",
        ],
    );
    check(
        "base = \"lp31\"\n",
        &[
            "line 1: base: must name one of the presets: tsp-v1-node, tsp-v1-rack, tsp-v1-dragonfly, tsp-v1-racks, tsp-v1-ring, lp30-tray, lp30-node, lp30-rack, lp30-racks",
        ],
    );
    check(
        "base = \"lp30-rack\"\nhost_ms = 3\n[[levels]]\nname = \"rock\"\n[[levels]]\ncount = 3\n[[levels]]\nname = \"node\"\n[[levels]]\nname = \"node\"\n",
        &[
            "line 2: host_ms: no such field; did you mean `host_us`?",
            "line 3: levels: the base has no level `rock`: it has node, rack",
            "line 5: levels: has no `name`: node, rack, or what else its units are called",
            "line 9: levels: two levels have the name `node`",
        ],
    );
    check(
        "base = \"lp30-rack\"\n[[levels]]\nname = \"rack\"\ncount = 32\n",
        &["line 2: levels: rack joins 32 units, and its ports are enough for 31"],
    );
    check(
        "base = \"tsp-v1-ring\"\n[[levels]]\nname = \"node\"\ncount = 7\n",
        &["levels: system is a ring of units of 7 chips, which must be an even number"],
    );
    check(
        "base = \"lp30-racks\"\n[[levels]]\nname = \"system\"\nports_per_chip = 3\n",
        &["line 2: levels: system is a ring by rank with 3 ports a chip, which must be an even number"],
    );
    check("levels = 3\nchip = \"lp30\"\nhost_us = 1\n", &["line 1: levels: must be tables: [[levels]]"]);
    let missing = "levels: missing: give a table [[levels]] for each, innermost first";
    check("chip = \"lp30\"\nhost_us = 1\n", &[missing]);
}

#[test]
fn every_field_of_a_preset_has_a_source() {
    for name in System::presets() {
        let system = preset(name);
        assert_eq!(system.sources.len(), 2 + 7 * system.levels.len(), "{name}");
        assert!(system.sources.values().all(|source| source.len() > 6 && source != "given without source"));
        assert!(Chip::preset(&system.chip).is_some_and(|chip| system.timing(&chip).is_ok()), "{name}");
    }
    let mine = "base = \"lp30-rack\"\nchip = \"lp30-wide\"\n[[levels]]\nname = \"node\"\nhop_ns = { value = 100, unit = \"ns\", source = \"a guess\" }\n";
    let mine = System::parse("mine", mine).unwrap();
    assert_eq!((mine.name.as_str(), mine.chip.as_str()), ("mine", "lp30-wide"));
    assert_eq!((mine.levels[0].link.hop_ns, mine.levels[1].link.hop_ns), (100.0, 200.0));
    assert_eq!(mine.sources["node.hop_ns"], "a guess");
    assert_eq!(mine.sources["rack.count"], preset("lp30-rack").sources["rack.count"]);
}

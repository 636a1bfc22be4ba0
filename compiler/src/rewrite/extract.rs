//! The cheapest form out of a saturated e-graph.
//!
//! A term that several others share is paid once, which a bottom-up choice on trees cannot see. First every class takes the
//! e-node whose own set of terms is cheapest (a fixed point over sets, so sharing below one class counts); then a local search
//! over the whole selection, priced exactly, exchanges the e-node of one class, or of all classes that could use a term
//! that none of them uses yet, for as long as that pays. Ties keep the e-node that came first.

use std::collections::BTreeMap;

use egg::Id;

use super::analysis::Tensors;
use super::cost::{Cost, Model};
use super::language::Term;
use super::segment::Solution;

/// Rounds of the fixed point and of the local search; both usually end by themselves after a few.
const ROUNDS: usize = 32;

/// Part of every latency that is counted as work: of two forms that end together, the one with less waiting wins.
const WAITING: u64 = 8;

/// Part of the time at which each term is done that is counted too: of two forms that end together, the one whose terms can
/// run earlier leaves the schedule more freedom.
const LATENESS: u64 = 1024;

/// An e-node, its inputs as class numbers.
struct Candidate {
    term: Term,
    inputs: Vec<usize>,
    cost: Cost,
}

impl Candidate {
    fn work(&self) -> u64 {
        self.cost.work + self.cost.latency / WAITING
    }

    fn delay(&self) -> u64 {
        self.cost.latency + self.cost.work
    }
}

/// The classes below the roots, densely numbered.
struct Classes {
    ids: Vec<Id>,
    candidates: Vec<Vec<Candidate>>,
    roots: Vec<usize>,
}

/// The cheapest form of `roots` that was found.
pub(super) fn extract(tensors: &Tensors, model: &Model, roots: &[Id]) -> Solution {
    let classes = Classes::new(tensors, model, roots);
    let mut choice = classes.greedy();
    if classes.price(&choice).is_none() {
        // Sets can go stale and close a ring; chains of latencies cannot.
        choice = classes.shortest();
    }
    classes.improve(&mut choice);
    classes.solution(tensors, &choice)
}

impl Classes {
    fn new(tensors: &Tensors, model: &Model, roots: &[Id]) -> Classes {
        let mut numbers: BTreeMap<Id, usize> = BTreeMap::new();
        let mut ids = Vec::new();
        let mut number = |id: Id, ids: &mut Vec<Id>| {
            let id = tensors.find(id);
            *numbers.entry(id).or_insert_with(|| {
                ids.push(id);
                ids.len() - 1
            })
        };
        let roots = roots.iter().map(|&root| number(root, &mut ids)).collect();
        let mut candidates = Vec::new();
        while candidates.len() < ids.len() {
            let class = &tensors[ids[candidates.len()]];
            let mut here = Vec::new();
            for term in &class.nodes {
                let inputs = egg::Language::children(term).iter().map(|&id| number(id, &mut ids)).collect();
                here.push(Candidate {
                    term: term.clone(),
                    inputs,
                    cost: model.price(tensors, term, &class.data),
                });
            }
            candidates.push(here);
        }
        Classes { ids, candidates, roots }
    }

    /// For every class the e-node with the cheapest set of terms, as far as sets of other classes tell.
    fn greedy(&self) -> Vec<usize> {
        struct Best {
            candidate: usize,
            path: u64,
            works: BTreeMap<usize, u64>,
            price: u64,
        }
        let mut best: Vec<Option<Best>> = self.ids.iter().map(|_| None).collect();
        // Only e-nodes with an input that changed in the round before, or earlier in this one, can have become cheaper.
        let mut fresh = vec![true; self.ids.len()];
        for _ in 0..ROUNDS {
            let mut next = vec![false; self.ids.len()];
            for class in (0..self.ids.len()).rev() {
                for (index, candidate) in self.candidates[class].iter().enumerate() {
                    if !candidate.inputs.is_empty() && !candidate.inputs.iter().any(|&i| fresh[i] || next[i])
                    {
                        continue;
                    }
                    let inputs: Option<Vec<&Best>> =
                        candidate.inputs.iter().map(|&i| best[i].as_ref()).collect();
                    let Some(inputs) = inputs else { continue };
                    let limit = best[class].as_ref().map_or(u64::MAX, |best| best.price);
                    let least = inputs.iter().map(|input| input.price).max().unwrap_or(0) + candidate.delay();
                    if least >= limit || inputs.iter().any(|input| input.works.contains_key(&class)) {
                        continue;
                    }
                    let path = inputs.iter().map(|input| input.path).max().unwrap_or(0) + candidate.delay();
                    let mut works = BTreeMap::from([(class, candidate.work())]);
                    for input in inputs {
                        works.extend(&input.works);
                    }
                    let price = path + works.values().sum::<u64>();
                    if price < limit {
                        best[class] = Some(Best { candidate: index, path, works, price });
                        next[class] = true;
                    }
                }
            }
            if !next.contains(&true) {
                break;
            }
            fresh = next;
        }
        best.iter().map(|best| best.as_ref().map_or(0, |best| best.candidate)).collect()
    }

    /// For every class the e-node with the shortest chain below it. Never closes a ring, since every operator takes time.
    fn shortest(&self) -> Vec<usize> {
        let mut best: Vec<Option<(u64, usize)>> = vec![None; self.ids.len()];
        loop {
            let mut changed = false;
            for class in (0..self.ids.len()).rev() {
                for (index, candidate) in self.candidates[class].iter().enumerate() {
                    let paths: Option<Vec<u64>> =
                        candidate.inputs.iter().map(|&i| best[i].map(|b| b.0)).collect();
                    let Some(paths) = paths else { continue };
                    let path = paths.into_iter().max().unwrap_or(0) + candidate.delay();
                    if best[class].is_none_or(|(least, _)| path < least) {
                        best[class] = Some((path, index));
                        changed = true;
                    }
                }
            }
            if !changed {
                return best.iter().map(|best| best.map_or(0, |best| best.1)).collect();
            }
        }
    }

    /// The selected classes, inputs before users; nothing if the selection closes a ring.
    fn selection(&self, choice: &[usize]) -> Option<Vec<usize>> {
        let mut state = vec![0u8; self.ids.len()];
        let mut order = Vec::new();
        let mut stack: Vec<(usize, bool)> = self.roots.iter().rev().map(|&root| (root, false)).collect();
        while let Some((class, done)) = stack.pop() {
            if done {
                state[class] = 2;
                order.push(class);
                continue;
            }
            match state[class] {
                0 => {
                    state[class] = 1;
                    stack.push((class, true));
                    let inputs = &self.candidates[class][choice[class]].inputs;
                    stack.extend(inputs.iter().rev().map(|&input| (input, false)));
                }
                // Opened and not closed: an ancestor.
                1 => return None,
                _ => {}
            }
        }
        Some(order)
    }

    /// Exact price of a selection: the longest chain, all work once, and a little for lateness.
    fn price(&self, choice: &[usize]) -> Option<u64> {
        let order = self.selection(choice)?;
        let mut path = vec![0u64; self.ids.len()];
        let mut work = 0;
        let mut done = 0;
        let mut longest = 0;
        for class in order {
            let candidate = &self.candidates[class][choice[class]];
            let ready = candidate.inputs.iter().map(|&input| path[input]).max().unwrap_or(0);
            path[class] = ready + candidate.delay();
            longest = longest.max(path[class]);
            work += candidate.work();
            done += path[class];
        }
        Some(longest + work + done / LATENESS)
    }

    /// Exchanges e-nodes for as long as the price falls.
    fn improve(&self, choice: &mut [usize]) {
        let Some(mut price) = self.price(choice) else { return };
        for _ in 0..ROUNDS {
            let before = price;
            for class in self.selection(choice).unwrap_or_default() {
                for index in 0..self.candidates[class].len() {
                    self.attempt(choice, &mut price, &[(class, index)]);
                }
            }
            for exchange in self.sharing(choice) {
                self.attempt(choice, &mut price, &exchange);
            }
            if price == before {
                return;
            }
        }
    }

    /// Exchanges that bring in a term which several selected classes could share.
    fn sharing(&self, choice: &[usize]) -> Vec<Vec<(usize, usize)>> {
        let selection = self.selection(choice).unwrap_or_default();
        let mut selected = vec![false; self.ids.len()];
        for &class in &selection {
            selected[class] = true;
        }
        let mut users: BTreeMap<usize, BTreeMap<usize, usize>> = BTreeMap::new();
        for &class in &selection {
            for (index, candidate) in self.candidates[class].iter().enumerate() {
                for &input in candidate.inputs.iter().filter(|&&input| !selected[input]) {
                    users.entry(input).or_default().entry(class).or_insert(index);
                }
            }
        }
        let shared = users.into_values().filter(|classes| classes.len() > 1);
        shared.map(|classes| classes.into_iter().collect()).collect()
    }

    fn attempt(&self, choice: &mut [usize], price: &mut u64, exchange: &[(usize, usize)]) {
        let old: Vec<usize> = exchange.iter().map(|&(class, _)| choice[class]).collect();
        for &(class, index) in exchange {
            choice[class] = index;
        }
        match self.price(choice) {
            Some(new) if new < *price => *price = new,
            Some(_) | None => {
                for (&(class, _), old) in exchange.iter().zip(old) {
                    choice[class] = old;
                }
            }
        }
    }

    fn solution(&self, tensors: &Tensors, choice: &[usize]) -> Solution {
        let mut place = vec![0usize; self.ids.len()];
        let mut solution = Solution::default();
        for class in self.selection(choice).expect("only selections without rings are kept") {
            let candidate = &self.candidates[class][choice[class]];
            let mut term = candidate.term.clone();
            if let Term::Apply(_, inputs) = &mut term {
                *inputs = candidate.inputs.iter().map(|&input| Id::from(place[input])).collect();
            }
            place[class] = solution.terms.len();
            solution.terms.push((term, tensors[self.ids[class]].data.origin));
        }
        solution.outputs = self.roots.iter().map(|&root| place[root]).collect();
        solution
    }
}

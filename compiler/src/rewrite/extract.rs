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
use super::history::History;
use super::language::Term;
use super::segment::{Solution, Solved};

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
    classes.solution(tensors, &classes.choose())
}

/// Price of the extracted form, and what no form is cheaper than.
#[cfg(test)]
pub(super) fn price_and_least(tensors: &Tensors, model: &Model, roots: &[Id]) -> (u64, u64) {
    let classes = Classes::new(tensors, model, roots);
    let choice = classes.choose();
    (classes.price(&choice).expect("no ring"), classes.least())
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

    /// The best selection that was found.
    fn choose(&self) -> Vec<usize> {
        let mut choice = self.greedy();
        if self.price(&choice).is_none() {
            // Sets can go stale and close a ring; chains of latencies cannot.
            choice = self.shortest();
        }
        self.improve(&mut choice);
        choice
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
        self.paths().iter().map(|best| best.map_or(0, |best| best.1)).collect()
    }

    /// For every class the length of the shortest chain below it, and the e-node that has it.
    fn paths(&self) -> Vec<Option<(u64, usize)>> {
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
                return best;
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

    /// What no selection is cheaper than: the shortest of all longest chains, and the least work of every class that all selections
    /// have.
    #[cfg(test)]
    fn least(&self) -> u64 {
        let path = |best: &[Option<(u64, usize)>]| {
            self.roots.iter().filter_map(|&root| best[root]).map(|b| b.0).max()
        };
        let longest = path(&self.paths()).unwrap_or(0);
        let least = |class: &usize| self.candidates[*class].iter().map(Candidate::work).min().unwrap_or(0);
        longest + self.needed().iter().map(least).sum::<u64>()
    }

    /// The classes that every selection has: a class itself, and what all of its e-nodes need.
    #[cfg(test)]
    fn needed(&self) -> Vec<usize> {
        // Sets of classes, as bits: from everything down to what the e-nodes say.
        let (count, words) = (self.ids.len(), self.ids.len().div_ceil(64));
        let mut needs = vec![vec![u64::MAX; words]; count];
        let mut changed = true;
        while changed {
            changed = false;
            for class in (0..count).rev() {
                let mut all = vec![u64::MAX; words];
                for candidate in &self.candidates[class] {
                    for (at, all) in all.iter_mut().enumerate() {
                        *all &= candidate.inputs.iter().fold(0, |any, &input| any | needs[input][at]);
                    }
                }
                all[class / 64] |= 1 << (class % 64);
                changed |= all != needs[class];
                needs[class] = all;
            }
        }
        let needed =
            |class: usize| self.roots.iter().any(|&root| needs[root][class / 64] >> (class % 64) & 1 == 1);
        (0..count).filter(|&class| needed(class)).collect()
    }

    fn solution(&self, tensors: &Tensors, choice: &[usize]) -> Solution {
        let mut place = vec![0usize; self.ids.len()];
        let mut solution = Solution::default();
        let history = History::new(tensors);
        for class in self.selection(choice).expect("only selections without rings are kept") {
            let candidate = &self.candidates[class][choice[class]];
            let mut term = candidate.term.clone();
            if let Term::Apply(_, inputs) = &mut term {
                *inputs = candidate.inputs.iter().map(|&input| Id::from(place[input])).collect();
            }
            place[class] = solution.terms.len();
            let (origin, rules) = (tensors[self.ids[class]].data.origin, history.rules(&candidate.term));
            solution.terms.push(Solved { term, origin, rules });
        }
        solution.outputs = self.roots.iter().map(|&root| place[root]).collect();
        solution
    }
}

//! Lists of dispatches as runs with nested repeats.

use isa::Repeat;
use isa::program::MAX_REPEATS;

/// A dispatch, or a nest of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// First cycle.
    pub cycle: i64,
    /// Main operand there.
    pub word: i64,
    /// First index of the window there.
    pub window: i64,
    /// Outermost first.
    pub repeats: Vec<Repeat>,
}

impl Item {
    /// A single dispatch.
    pub fn once(cycle: i64, word: u32) -> Item {
        Item { cycle, word: i64::from(word), window: 0, repeats: Vec::new() }
    }

    fn last_cycle(&self) -> i64 {
        self.cycle + self.repeats.iter().map(|r| i64::from(r.count - 1) * i64::from(r.interval)).sum::<i64>()
    }
}

/// Joins neighbours that continue in equal steps into outer repeats, level by level. The dispatches and their order stay the same.
pub fn compress(items: Vec<Item>) -> Vec<Item> {
    let mut items = items;
    for _ in 0..MAX_REPEATS {
        let before = items.len();
        items = join(&items);
        if items.len() == before {
            break;
        }
    }
    items
}

fn join(items: &[Item]) -> Vec<Item> {
    let mut joined = Vec::new();
    let mut at = 0;
    while at < items.len() {
        let first = &items[at];
        let mut count = 1;
        let step = items
            .get(at + 1)
            .filter(|next| next.repeats == first.repeats && first.repeats.len() < MAX_REPEATS);
        let deltas =
            step.map(|next| (next.cycle - first.cycle, next.word - first.word, next.window - first.window));
        if let Some((interval, step, window_step)) = deltas
            && interval > 0
            && first.last_cycle() < first.cycle + interval
        {
            let continues = |at: usize| {
                let (one, next) = (&items[at], &items[at + 1]);
                next.repeats == one.repeats
                    && (next.cycle - one.cycle, next.word - one.word, next.window - one.window)
                        == (interval, step, window_step)
            };
            while at + count < items.len() && continues(at + count - 1) {
                count += 1;
            }
            // Two single dispatches are shorter to say as they are, unless they nest.
            let mut item = first.clone();
            item.repeats.insert(
                0,
                Repeat {
                    count: count as u32,
                    interval: interval as u32,
                    step: step as i32,
                    window_step: window_step as i32,
                },
            );
            joined.push(item);
        } else {
            joined.push(first.clone());
        }
        at += count;
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(items: &[Item]) -> Vec<(i64, i64)> {
        let mut all = Vec::new();
        for item in items {
            let mut list = vec![(item.cycle, item.word)];
            for repeat in item.repeats.iter().rev() {
                let inner = list.clone();
                list = (0..i64::from(repeat.count))
                    .flat_map(|n| {
                        inner.iter().map(move |(c, w)| {
                            (c + n * i64::from(repeat.interval), w + n * i64::from(repeat.step))
                        })
                    })
                    .collect();
            }
            all.extend(list);
        }
        all
    }

    #[test]
    fn joins_without_changing_dispatches() {
        let lists: [&[u32]; 4] =
            [&[0, 1, 2, 0, 1, 2], &[5, 0, 1, 2, 3], &[7, 7, 7, 7], &[0, 4, 8, 1, 5, 9, 2, 6, 10]];
        for (list, runs) in lists.iter().zip([1, 2, 1, 1]) {
            let items: Vec<Item> =
                list.iter().enumerate().map(|(i, &w)| Item::once(10 + 2 * i as i64, w)).collect();
            let short = compress(items.clone());
            assert_eq!(expand(&short), expand(&items));
            assert!(short.len() <= runs, "{list:?} became {short:?}");
        }
    }
}

//! Lengths of axes as the model writes them: numbers, names, and sums and products of those (`past_sequence_length + 1`).

use std::collections::BTreeMap;

/// A length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dimension {
    /// A number.
    Number(i64),
    /// A free name.
    Symbol(String),
    /// a op b, op one of `+ - * /`.
    Operation(char, Box<Dimension>, Box<Dimension>),
}

/// Deepest nesting of brackets, and longest text; what goes beyond is taken as a name.
const MAX_DEPTH: usize = 32;
const MAX_TEXT: usize = 256;

impl Dimension {
    /// Reads a dimension's text; what is no sum or product is one name.
    pub(super) fn parse(text: &str) -> Dimension {
        if text.len() > MAX_TEXT {
            return Dimension::Symbol(text.trim().to_owned());
        }
        let mut parser = Parser { rest: text.trim(), depth: 0 };
        match parser.sum() {
            Some(dimension) if parser.rest.is_empty() => dimension,
            Some(_) | None => Dimension::Symbol(text.trim().to_owned()),
        }
    }

    /// Its value under an assignment; nothing where a name is free or the arithmetic fails.
    pub(super) fn eval(&self, names: &BTreeMap<String, usize>) -> Option<i64> {
        match self {
            Dimension::Number(value) => Some(*value),
            Dimension::Symbol(name) => names.get(name).and_then(|&value| i64::try_from(value).ok()),
            Dimension::Operation(op, a, b) => {
                let (a, b) = (a.eval(names)?, b.eval(names)?);
                match op {
                    '+' => a.checked_add(b),
                    '-' => a.checked_sub(b),
                    '*' => a.checked_mul(b),
                    _ => a.checked_div_euclid(b),
                }
            }
        }
    }

    /// The names in it, in order, with repetitions.
    pub(super) fn symbols(&self) -> Vec<&str> {
        match self {
            Dimension::Number(_) => vec![],
            Dimension::Symbol(name) => vec![name],
            Dimension::Operation(_, a, b) => [a.symbols(), b.symbols()].concat(),
        }
    }

    /// The single free name, and the value it must have for the whole to be `value`.
    pub(super) fn solve(&self, names: &BTreeMap<String, usize>, value: usize) -> Option<(String, usize)> {
        let mut free: Vec<&str> =
            self.symbols().into_iter().filter(|name| !names.contains_key(*name)).collect();
        free.dedup();
        let [name] = free[..] else { return None };
        let mut trial = names.clone();
        let mut at = |x: usize| {
            trial.insert(name.to_owned(), x);
            self.eval(&trial)
        };
        // It is linear in what models write; a trial tells whether this one is.
        let (zero, one) = (at(0)?, at(1)?);
        let slope = one.checked_sub(zero).filter(|&slope| slope != 0)?;
        let answer = i64::try_from(value).ok()?.checked_sub(zero)?.checked_div(slope)?;
        let answer = usize::try_from(answer).ok()?;
        (at(answer)? == i64::try_from(value).ok()?).then(|| (name.to_owned(), answer))
    }
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl Parser<'_> {
    fn sum(&mut self) -> Option<Dimension> {
        let mut left = self.product()?;
        while let Some(op) = self.operator(&['+', '-']) {
            left = Dimension::Operation(op, Box::new(left), Box::new(self.product()?));
        }
        Some(left)
    }

    fn product(&mut self) -> Option<Dimension> {
        let mut left = self.atom()?;
        while let Some(op) = self.operator(&['*', '/']) {
            // `//` is Python's whole division.
            self.rest = self.rest.strip_prefix('/').unwrap_or(self.rest).trim_start();
            left = Dimension::Operation(op, Box::new(left), Box::new(self.atom()?));
        }
        Some(left)
    }

    fn atom(&mut self) -> Option<Dimension> {
        if let Some(rest) = self.rest.strip_prefix('(') {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return None;
            }
            self.rest = rest.trim_start();
            let inner = self.sum()?;
            self.rest = self.rest.strip_prefix(')')?.trim_start();
            self.depth -= 1;
            return Some(inner);
        }
        let end =
            self.rest.find(|c: char| c.is_whitespace() || "+-*/()".contains(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        if word.is_empty() {
            return None;
        }
        Some(word.parse().map_or_else(|_| Dimension::Symbol(word.to_owned()), Dimension::Number))
    }

    fn operator(&mut self, among: &[char]) -> Option<char> {
        let op = self.rest.chars().next().filter(|c| among.contains(c))?;
        self.rest = self.rest[1..].trim_start();
        Some(op)
    }
}

#[cfg(test)]
mod tests {
    use super::Dimension;
    use std::collections::BTreeMap;

    #[test]
    fn text_to_value() {
        let names: BTreeMap<String, usize> = [("past", 7), ("s15", 3), ("batch-size", 9), ("a b", 4)]
            .map(|(name, value)| (name.to_owned(), value))
            .into();
        for (text, value) in [
            ("12", Some(12)),
            ("past", Some(7)),
            ("past + 1", Some(8)),
            ("2*past - s15", Some(11)),
            ("(past + s15)*2", Some(20)),
            ("past//2", Some(3)),
            ("other + 1", None),
            ("a b", Some(4)),
            ("past / (s15 - 3)", None),
            ("((((", None),
        ] {
            assert_eq!(Dimension::parse(text).eval(&names), value, "{text}");
        }
    }

    #[test]
    fn solving_for_the_free_name() {
        let names: BTreeMap<String, usize> = [("s", 2)].map(|(name, value)| (name.to_owned(), value)).into();
        for (text, value, answer) in [
            ("past + s", 8, Some(6)),
            ("past", 8, Some(8)),
            ("2*past", 8, Some(4)),
            ("2*past", 7, None),
            ("past + 9", 8, None),
            ("past * past", 4, None),
            ("s", 2, None),
        ] {
            let found = Dimension::parse(text).solve(&names, value).map(|(_, answer)| answer);
            assert_eq!(found, answer, "{text} = {value}");
        }
    }
}

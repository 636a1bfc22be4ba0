//! Ways between nodes of chips of which only some have links to the other node.

/// How the chips of a node hand parts to the chips that stand alike in another node: each part goes to a chip with a link, over it, and on to where
/// it belongs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gates {
    /// Chips of a node. Ranks count through one node after the other.
    pub node: usize,
    /// Ranks that send over their links.
    pub from: Vec<usize>,
    /// Ranks that receive at the other ends.
    pub to: Vec<usize>,
    /// How far ahead in its node a chip at the other end stands of where the one that sends stands in its own.
    pub shift: usize,
    /// Parts that a link carries: for the chip that receives, the one ahead of it in its node, and so on.
    pub each: usize,
}

impl Gates {
    /// Of the parts that a chip that sends has gathered in its node, its own first and then those of chips behind it, the one for the chip so far
    /// ahead of the one that receives.
    pub fn part(&self, ahead: usize) -> usize {
        (2 * self.node - self.shift - ahead) % self.node
    }

    /// The rank so far ahead in the same node.
    pub fn ahead(&self, rank: usize, by: usize) -> usize {
        rank / self.node * self.node + (rank + by) % self.node
    }

    /// The ranks so far ahead of those that receive.
    pub fn served(&self, ahead: usize) -> Vec<usize> {
        self.to.iter().map(|&rank| self.ahead(rank, ahead)).collect()
    }

    /// Which rank receives for a rank, and how far behind it is.
    pub fn receiver(&self, rank: usize) -> Option<(usize, usize)> {
        let behind = |by: usize| (self.ahead(rank, self.node - by), by);
        (0..self.each).map(behind).find(|(rank, _)| self.to.contains(rank))
    }
}

/// Names in the text form, and numbers.
impl std::fmt::Display for Gates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Gates { node, from, to, shift, each } = self;
        write!(f, "node={node}, from={from:?}, to={to:?}, shift={shift}, each={each}")
    }
}

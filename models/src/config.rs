//! Shapes of published models.

/// The shape of a decoder in the manner of Llama: RMSNorm, rotary embedding in halves, grouped-query attention, SwiGLU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// The name that the command line takes.
    pub name: &'static str,
    /// Decoder layers.
    pub layers: usize,
    /// Elements of a token's vector.
    pub hidden: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Elements between the feed-forward's products.
    pub feed_forward: usize,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Base of the rotary angles.
    pub rope_theta: f64,
    /// Added to the mean square in RMSNorm.
    pub epsilon: f32,
}

/// All, by name. Sources: the `config.json` published with each model.
pub const PRESETS: [Config; 2] = [
    Config {
        name: "llama-3-8b",
        layers: 32,
        hidden: 4096,
        heads: 32,
        kv_heads: 8,
        head_dim: 128,
        feed_forward: 14336,
        vocabulary: 128_256,
        rope_theta: 500_000.0,
        epsilon: 1e-5,
    },
    Config {
        name: "smollm2-135m",
        layers: 30,
        hidden: 576,
        heads: 9,
        kv_heads: 3,
        head_dim: 64,
        feed_forward: 1536,
        vocabulary: 49_152,
        rope_theta: 100_000.0,
        epsilon: 1e-5,
    },
];

impl Config {
    /// The preset of a name.
    pub fn preset(name: &str) -> Option<Config> {
        PRESETS.into_iter().find(|config| config.name == name)
    }
}

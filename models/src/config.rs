//! What a published model is built of: the shape of every part, without weights.

use std::borrow::Cow;

use compiler::graph::Encoding;

/// A transformer's shape. Lengths are elements of a vector, numbers of heads, layers, experts or tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The name that the command line takes.
    pub name: Cow<'static, str>,
    /// Whether it continues texts or reads them.
    pub kind: Kind,
    /// Layers.
    pub layers: usize,
    /// Elements of a token's vector.
    pub hidden: usize,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Whether the head's matrix is the embedding's.
    pub tied: bool,
    /// Whether embedded tokens are multiplied by the square root of `hidden`.
    pub scaled_embedding: bool,
    /// Logits x become c · tanh(x / c).
    pub softcap: Option<f32>,
    /// How tokens see each other.
    pub attention: Attention,
    /// What follows attention in each layer.
    pub feed_forward: FeedForward,
    /// The function between the feed-forward's products.
    pub activation: Activation,
    /// Where a layer is normalised.
    pub norms: Norms,
    /// Added to the mean square (RMSNorm) or to the variance (LayerNorm).
    pub epsilon: f32,
    /// How a token's place is told.
    pub positions: Positions,
    /// In what form the weights are published.
    pub published: Published,
}

/// What a model does with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Continues it: a token sees those before it, whose keys and values are kept, and a head says what follows.
    Decoder,
    /// Reads it: every token sees every other, and a pooling product [hidden, hidden] follows the first token.
    Encoder {
        /// Learned vectors that tell texts of a pair apart, added to the embedding.
        token_types: usize,
    },
}

/// How tokens see each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Attention {
    /// Keys and values for each group of query heads.
    Grouped(Grouped),
    /// Keys and values made of one latent vector (MLA).
    Latent(Latent),
}

/// Attention in which some query heads share a key and value head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grouped {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Whether the products that make queries, keys, values and the output each add a vector.
    pub bias: bool,
    /// Whether each head's query and key is normalised, with one weight vector each for all heads.
    pub qk_norm: bool,
    /// Whether each head's value is normalised, too, without a weight. Scores are then taken as they are, and not over √head_dim.
    pub v_norm: bool,
    /// Whether each query head has a learned score of nothing, which takes a share of its softmax.
    pub sinks: bool,
    /// Whether some layers see only the latest tokens.
    pub window: Option<Window>,
}

/// Some layers see only the latest tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Tokens that a windowed layer sees, itself among them.
    pub size: usize,
    /// Every so many layers, the last of them sees all; the others see the window.
    pub every: usize,
    /// The heads of layers that see all, where they differ.
    pub full: Option<FullHeads>,
}

/// Heads of the layers without a window, where they differ from those with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FullHeads {
    /// Key and value heads.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Whether one product makes keys and values.
    pub shared_kv: bool,
    /// Base of the rotary angles.
    pub theta: f64,
    /// The part of a head's elements that is turned.
    pub turned: f64,
}

/// Attention over one latent vector for each token, from which keys and values of all heads are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latent {
    /// Query heads.
    pub heads: usize,
    /// Elements of the vector that queries are made of.
    pub q_rank: usize,
    /// Elements of the latent vector.
    pub kv_rank: usize,
    /// Elements of a head's query and key that are not turned.
    pub nope: usize,
    /// Elements that are turned; all heads share the key's.
    pub rope: usize,
    /// Elements of a head's value.
    pub v: usize,
}

/// What follows attention in each layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FeedForward {
    /// down(act(gate(x)) · up(x)).
    Gated {
        /// Elements between the products.
        inner: usize,
    },
    /// down(act(up(x))), both products with a bias.
    Plain {
        /// Elements between the products.
        inner: usize,
    },
    /// Gated feed-forwards, a few of which work for each token.
    Experts(Experts),
}

/// Gated feed-forwards, a few of which work for each token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experts {
    /// Experts that a layer has to choose from.
    pub experts: usize,
    /// Experts that work for a token.
    pub active: usize,
    /// Elements between an expert's products.
    pub inner: usize,
    /// Experts of that size that work for every token, besides.
    pub shared: usize,
    /// The first layers, which have one gated feed-forward in place of experts.
    pub dense_layers: usize,
    /// Elements between the products of that.
    pub dense_inner: usize,
    /// Whether the experts' products each add a vector.
    pub bias: bool,
    /// How a chip makes a few of them work.
    pub run: Run,
    /// How experts are chosen.
    pub router: Router,
}

/// How a chip makes those experts work that are chosen, which is not published and does not change what they give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Run {
    /// All of them work, and the shares of those that are not chosen are zero.
    #[default]
    Resident,
    /// The weights of the chosen ones are gathered.
    Gather,
}

/// How experts are chosen: a product gives each a score; of the greatest, shares that add up to `scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Router {
    /// What makes a share of a score.
    pub score: Score,
    /// Whether each expert's score has a learned number added to it, at least for the choice.
    pub bias: bool,
    /// Groups that the experts are in.
    pub groups: usize,
    /// Groups that a token's experts may come from.
    pub active_groups: usize,
    /// The sum of a token's shares.
    pub scale: f64,
}

/// What makes a share of a router's score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// Exponentials over the sum of those chosen.
    Softmax,
    /// Logistic functions over the sum of those chosen.
    Sigmoid,
}

/// The function between the feed-forward's products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x · sigmoid(x).
    Silu,
    /// As gpt-oss has it: both factors cut off at 7, x · sigmoid(1.702 x), and 1 added to the other factor.
    SiluClamped,
    /// x · Φ(x).
    Gelu,
    /// That, with Φ by a hyperbolic tangent.
    GeluTanh,
}

/// Where a layer is normalised, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norms {
    /// RMSNorm before attention and before the feed-forward; one more before the head.
    Before,
    /// As that, with weights from which one was taken before they were published.
    BeforeLessOne,
    /// RMSNorm before and after both; one more before the head. Each layer's output is multiplied by one learned number.
    BeforeAndAfter,
    /// LayerNorm, with a bias, after each residual sum, and after the embedding.
    After,
}

/// How a token's place is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Positions {
    /// Queries and keys are turned by angles that grow with the place.
    Rotary {
        /// Base of the angles.
        theta: f64,
        /// How the angles are changed for texts longer than those trained on.
        stretch: Option<Stretch>,
    },
    /// A vector for each place, added to the embedding.
    Learned {
        /// Places that there are.
        places: usize,
    },
}

/// How rotary angles are changed for texts longer than those trained on. `factor` is how many times longer texts may become, `trained` the
/// tokens of the longest text before that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stretch {
    /// All angles alike.
    Linear {
        /// How many times slower they grow.
        factor: f64,
    },
    /// Slow angles only, blended.
    Yarn(Yarn),
    /// Slow angles only, as in Llama 3.1.
    Llama3 {
        /// How many times longer texts may become.
        factor: f64,
        /// Angles that turn less often than this in a text of `trained` tokens are slowed.
        low: f64,
        /// Angles that turn more often than this are as they were.
        high: f64,
        /// Tokens of the longest text trained on before.
        trained: f64,
    },
}

/// YaRN: slow angles are slowed, fast ones are as they were, those between are blended; and scores are sharpened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yarn {
    /// How many times longer texts may become.
    pub factor: f64,
    /// Tokens of the longest text trained on before.
    pub trained: f64,
    /// Angles that turn more often than this in a text of `trained` tokens are as they were.
    pub fast: f64,
    /// Angles that turn less often than this are slowed.
    pub slow: f64,
    /// Whether the ends of the blend are whole numbers of angles.
    pub truncate: bool,
    /// Weights `m` and `a` of the sharpening s(w) = 0.1 · w · ln(factor) + 1: cosines and sines are multiplied by s(m) / s(a), and scores of
    /// latent attention by s(a)². Without them cosines and sines are multiplied by s(1).
    pub mscale: Option<(f64, f64)>,
}

/// In what form weights are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// In a format of 16 or 32 bits.
    Plain,
    /// Matrices in e4m3, with a scale for each block of 128 × 128.
    Fp8,
    /// Experts in MXFP4 (e2m1, with a scale for each 32), the rest in bfloat16.
    Mxfp4Experts,
    /// Experts that are chosen in signed integers of 4 bits with a scale for each 32, the rest in bfloat16.
    Int4Experts,
}

impl Published {
    /// How the matrices of experts that are chosen are encoded in a graph.
    pub fn experts(self) -> Encoding {
        match self {
            Published::Mxfp4Experts => Encoding::Mxfp4,
            Published::Int4Experts => Encoding::Int4,
            Published::Plain | Published::Fp8 => Encoding::F16,
        }
    }
}

impl Config {
    /// The preset of a name.
    pub fn preset(name: &str) -> Option<&'static Config> {
        crate::presets::all().find(|preset| preset.config.name == name).map(|preset| &preset.config)
    }

    /// The same model, a chip of which makes experts work in another way.
    pub fn running(&self, run: Run) -> Config {
        let feed_forward = match self.feed_forward {
            FeedForward::Experts(experts) => FeedForward::Experts(Experts { run, ..experts }),
            other => other,
        };
        Config { feed_forward, ..self.clone() }
    }
}

impl Window {
    /// Whether a layer, counted from 0, sees all tokens.
    pub fn sees_all(&self, layer: usize) -> bool {
        (layer + 1).is_multiple_of(self.every)
    }
}

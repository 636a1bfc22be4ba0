//! All operators of ONNX's own domain: since which version each is there, and why some cannot be.

use super::ops;
use crate::onnx::OPSETS;
use std::ops::RangeInclusive;

/// What is to be said of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Its name.
    pub name: &'static str,
    /// Empty for ONNX's own.
    pub domain: &'static str,
    /// Versions of the domain's operator set in which it is understood, as far as there are such; nothing where it is not.
    pub versions: Option<RangeInclusive<i64>>,
    /// Why it is not understood.
    pub reason: Option<&'static str>,
}

/// Every operator of ONNX's own domain, and those of other domains that are understood; sorted by domain and name.
pub fn operators() -> Vec<Operator> {
    let own = OPERATORS.iter().map(|&(name, since, until)| {
        let known = CONTROL.contains(&name) || ops::translator(name).is_some();
        Operator {
            name,
            domain: "",
            versions: known.then_some(since..=until.unwrap_or(*OPSETS.end())),
            reason: (!known).then(|| why_not(name).unwrap_or("not supported yet")),
        }
    });
    let learned = LEARNED.iter().map(|&(name, since)| (ops::LEARNED, name, since..=LAST_LEARNED));
    let contributed = CONTRIBUTED.iter().map(|&name| (ops::MICROSOFT, name, 1..=1));
    let foreign =
        learned.chain(contributed).filter(|&(domain, name, _)| ops::foreign(domain, name).is_some());
    let foreign = foreign.map(|(domain, name, versions)| Operator {
        name,
        domain,
        versions: Some(versions),
        reason: None,
    });
    own.chain(foreign).collect()
}

/// Why an operator of ONNX's own domain cannot be, where that lies in what it is.
pub(super) fn why_not(operator: &str) -> Option<&'static str> {
    Some(match operator {
        "NonZero" | "Unique" | "NonMaxSuppression" => {
            "the shape of its result depends on data; `--outputs-at` ends the model before it"
        }
        "Compress" => "the shape of its result depends on its condition, which must be known",
        "RegexFullMatch" | "StringConcat" | "StringNormalizer" | "StringSplit" => {
            "it works on text, which the machine has no type for; do it before the model"
        }
        "ConcatFromSequence" | "SequenceAt" | "SequenceConstruct" | "SequenceEmpty" | "SequenceErase"
        | "SequenceInsert" | "SequenceLength" | "SequenceMap" | "SplitToSequence" => {
            "sequences have no fixed shape"
        }
        "Optional" | "OptionalGetElement" | "OptionalHasElement" => "optional values have no fixed shape",
        "Bernoulli" | "Multinomial" | "RandomNormal" | "RandomNormalLike" | "RandomUniform"
        | "RandomUniformLike" => "it is random; give the model random numbers as an input",
        "ImageDecoder" => "it reads a file format; decode images before the model",
        _ => return None,
    })
}

/// Those that hold other nodes.
const CONTROL: [&str; 3] = ["If", "Loop", "Scan"];

/// The last version of the domain of classical machine learning.
const LAST_LEARNED: i64 = 5;

/// Its operators that models have, and since which version each is there.
const LEARNED: &[(&str, i64)] = &[
    ("ArrayFeatureExtractor", 1),
    ("Binarizer", 1),
    ("LinearClassifier", 1),
    ("LinearRegressor", 1),
    ("Normalizer", 1),
    ("Scaler", 1),
    ("TreeEnsemble", 5),
    ("TreeEnsembleRegressor", 1),
];

/// Operators of ONNX Runtime's domain that models have.
const CONTRIBUTED: &[&str] = &[
    "Attention",
    "BiasGelu",
    "DynamicQuantizeLSTM",
    "DynamicQuantizeMatMul",
    "EmbedLayerNormalization",
    "FastGelu",
    "FusedMatMul",
    "GatherBlockQuantized",
    "Gelu",
    "GroupQueryAttention",
    "MatMulIntegerToFloat",
    "MatMulNBits",
    "MoE",
    "MultiHeadAttention",
    "QMoE",
    "QuickGelu",
    "RotaryEmbedding",
    "SimplifiedLayerNormalization",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
];

/// Names, the version since which they are there, and the last before they were withdrawn.
const OPERATORS: &[(&str, i64, Option<i64>)] = &[
    ("Abs", 1, None),
    ("Acos", 7, None),
    ("Acosh", 9, None),
    ("Add", 1, None),
    ("AffineGrid", 20, None),
    ("And", 1, None),
    ("ArgMax", 1, None),
    ("ArgMin", 1, None),
    ("Asin", 7, None),
    ("Asinh", 9, None),
    ("Atan", 7, None),
    ("Atanh", 9, None),
    ("Attention", 23, None),
    ("AveragePool", 1, None),
    ("BatchNormalization", 1, None),
    ("Bernoulli", 15, None),
    ("BitCast", 26, None),
    ("BitShift", 11, None),
    ("BitwiseAnd", 18, None),
    ("BitwiseNot", 18, None),
    ("BitwiseOr", 18, None),
    ("BitwiseXor", 18, None),
    ("BlackmanWindow", 17, None),
    ("Cast", 1, None),
    ("CastLike", 15, None),
    ("CausalConvWithState", 27, None),
    ("Ceil", 1, None),
    ("Celu", 12, None),
    ("CenterCropPad", 18, None),
    ("Clip", 1, None),
    ("Col2Im", 18, None),
    ("Compress", 9, None),
    ("Concat", 1, None),
    ("ConcatFromSequence", 11, None),
    ("Constant", 1, None),
    ("ConstantOfShape", 9, None),
    ("Conv", 1, None),
    ("ConvInteger", 10, None),
    ("ConvTranspose", 1, None),
    ("Cos", 7, None),
    ("Cosh", 9, None),
    ("CumProd", 26, None),
    ("CumSum", 11, None),
    ("DFT", 17, None),
    ("DeformConv", 19, None),
    ("DepthToSpace", 1, None),
    ("DequantizeLinear", 10, None),
    ("Det", 11, None),
    ("Div", 1, None),
    ("Dropout", 1, None),
    ("DynamicQuantizeLinear", 11, None),
    ("Einsum", 12, None),
    ("Elu", 1, None),
    ("Equal", 1, None),
    ("Erf", 9, None),
    ("Exp", 1, None),
    ("Expand", 8, None),
    ("EyeLike", 9, None),
    ("Flatten", 1, None),
    ("Floor", 1, None),
    ("GRU", 1, None),
    ("Gather", 1, None),
    ("GatherElements", 11, None),
    ("GatherND", 11, None),
    ("Gelu", 20, None),
    ("Gemm", 1, None),
    ("GlobalAveragePool", 1, None),
    ("GlobalLpPool", 1, None),
    ("GlobalMaxPool", 1, None),
    ("Greater", 1, None),
    ("GreaterOrEqual", 12, None),
    ("GridSample", 16, None),
    ("GroupNormalization", 18, None),
    ("HammingWindow", 17, None),
    ("HannWindow", 17, None),
    ("HardSigmoid", 1, None),
    ("HardSwish", 14, None),
    ("Hardmax", 1, None),
    ("Identity", 1, None),
    ("If", 1, None),
    ("ImageDecoder", 20, None),
    ("InstanceNormalization", 1, None),
    ("IsInf", 10, None),
    ("IsNaN", 9, None),
    ("LRN", 1, None),
    ("LSTM", 1, None),
    ("LayerNormalization", 17, None),
    ("LeakyRelu", 1, None),
    ("Less", 1, None),
    ("LessOrEqual", 12, None),
    ("LinearAttention", 27, None),
    ("Log", 1, None),
    ("LogSoftmax", 1, None),
    ("Loop", 1, None),
    ("LpNormalization", 1, None),
    ("LpPool", 1, None),
    ("MatMul", 1, None),
    ("MatMulInteger", 10, None),
    ("Max", 1, None),
    ("MaxPool", 1, None),
    ("MaxRoiPool", 1, None),
    ("MaxUnpool", 9, None),
    ("Mean", 1, None),
    ("MeanVarianceNormalization", 9, None),
    ("MelWeightMatrix", 17, None),
    ("Min", 1, None),
    ("Mish", 18, None),
    ("Mod", 10, None),
    ("Mul", 1, None),
    ("Multinomial", 7, None),
    ("Neg", 1, None),
    ("NegativeLogLikelihoodLoss", 12, None),
    ("NonMaxSuppression", 10, None),
    ("NonZero", 9, None),
    ("Not", 1, None),
    ("OneHot", 9, None),
    ("Optional", 15, None),
    ("OptionalGetElement", 15, None),
    ("OptionalHasElement", 15, None),
    ("Or", 1, None),
    ("PRelu", 1, None),
    ("Pad", 1, None),
    ("Pow", 1, None),
    ("QLinearConv", 10, None),
    ("QLinearMatMul", 10, None),
    ("QuantizeLinear", 10, None),
    ("RMSNormalization", 23, None),
    ("RNN", 1, None),
    ("RandomNormal", 1, None),
    ("RandomNormalLike", 1, None),
    ("RandomUniform", 1, None),
    ("RandomUniformLike", 1, None),
    ("Range", 11, None),
    ("Reciprocal", 1, None),
    ("ReduceL1", 1, None),
    ("ReduceL2", 1, None),
    ("ReduceLogSum", 1, None),
    ("ReduceLogSumExp", 1, None),
    ("ReduceMax", 1, None),
    ("ReduceMean", 1, None),
    ("ReduceMin", 1, None),
    ("ReduceProd", 1, None),
    ("ReduceSum", 1, None),
    ("ReduceSumSquare", 1, None),
    ("RegexFullMatch", 20, None),
    ("Relu", 1, None),
    ("Reshape", 1, None),
    ("Resize", 10, None),
    ("ReverseSequence", 10, None),
    ("RoiAlign", 10, None),
    ("RotaryEmbedding", 23, None),
    ("Round", 11, None),
    ("STFT", 17, None),
    ("Scan", 8, None),
    ("Scatter", 9, Some(10)),
    ("ScatterElements", 11, None),
    ("ScatterND", 11, None),
    ("Selu", 1, None),
    ("SequenceAt", 11, None),
    ("SequenceConstruct", 11, None),
    ("SequenceEmpty", 11, None),
    ("SequenceErase", 11, None),
    ("SequenceInsert", 11, None),
    ("SequenceLength", 11, None),
    ("SequenceMap", 17, None),
    ("Shape", 1, None),
    ("Shrink", 9, None),
    ("Sigmoid", 1, None),
    ("Sign", 9, None),
    ("Sin", 7, None),
    ("Sinh", 9, None),
    ("Size", 1, None),
    ("Slice", 1, None),
    ("Softmax", 1, None),
    ("SoftmaxCrossEntropyLoss", 12, None),
    ("Softplus", 1, None),
    ("Softsign", 1, None),
    ("SpaceToDepth", 1, None),
    ("Split", 1, None),
    ("SplitToSequence", 11, None),
    ("Sqrt", 1, None),
    ("Squeeze", 1, None),
    ("StringConcat", 20, None),
    ("StringNormalizer", 10, None),
    ("StringSplit", 20, None),
    ("Sub", 1, None),
    ("Sum", 1, None),
    ("SwiGLU", 28, None),
    ("Swish", 24, None),
    ("Tan", 7, None),
    ("Tanh", 1, None),
    ("TensorScatter", 24, None),
    ("TfIdfVectorizer", 9, None),
    ("ThresholdedRelu", 10, None),
    ("Tile", 1, None),
    ("TopK", 1, None),
    ("Transpose", 1, None),
    ("Trilu", 14, None),
    ("Unique", 11, None),
    ("Unsqueeze", 1, None),
    ("Upsample", 1, Some(9)),
    ("Where", 9, None),
    ("Xor", 1, None),
];

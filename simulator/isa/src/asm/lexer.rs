//! Tokens of the assembly text.

use logos::Logos;

use crate::instruction::VxmOp;

/// A token. Names with a number or a place in them keep their text; the grammar's actions read it.
#[derive(Clone, Copy, Debug, PartialEq, Logos)]
#[logos(skip r"[ \t\r\n]+")]
#[logos(skip(r";[^\n]*", allow_greedy = true))]
pub(super) enum Token<'a> {
    #[token("{")]
    BraceOpen,
    #[token("}")]
    BraceClose,
    #[token("[")]
    BracketOpen,
    #[token("]")]
    BracketClose,
    #[token(",")]
    Comma,
    #[token(":")]
    Colon,
    #[token("->")]
    Arrow,
    #[token("@")]
    At,
    #[token("..")]
    Dots,
    #[token("=")]
    Equals,

    /// Decimal, or hexadecimal with 0x; too large for anything becomes the greatest number, which no field takes.
    #[regex(r"-?[0-9]+", |lexer| lexer.slice().parse().unwrap_or(i128::MAX))]
    #[regex(r"0x[0-9a-fA-F]+", |lexer| i128::from_str_radix(&lexer.slice()[2..], 16).unwrap_or(i128::MAX))]
    Integer(i128),
    #[regex(r#""([^"\\\x00-\x1f]|\\["\\]|\\u\{[0-9a-fA-F]+\})*""#)]
    String(&'a str),
    #[regex(r"s[0-9]+[ew]")]
    Stream(&'a str),
    #[regex(r"x[0-9]+")]
    Times(&'a str),
    #[regex(r"n[0-9]+")]
    Node(&'a str),
    #[regex(r"m[0-9]+")]
    Map(&'a str),
    #[regex(r"alu[0-9]+")]
    Alu(&'a str),
    #[regex(r"(east|west|vxm)\.[a-z0-9.]+")]
    Place(&'a str),
    #[regex(r"[A-Z][A-Za-z0-9]*", operation)]
    Operation(VxmOp),

    #[token("program")]
    Program,
    #[token("nodes")]
    Nodes,
    #[token("chip")]
    Chip,
    #[token("map")]
    MapKeyword,
    #[token("memory")]
    Memory,
    #[token("port")]
    Port,
    #[token("queue")]
    Queue,
    #[token("text")]
    Text,
    #[token("input")]
    Input,
    #[token("output")]
    Output,
    #[token("state")]
    State,
    #[token("part")]
    Part,
    #[token("batches")]
    Batches,
    #[token("rows")]
    Rows,
    #[token("columns")]
    Columns,
    #[token("broadcast")]
    Broadcast,
    #[token("tile")]
    Tile,
    #[token("stripe")]
    Stripe,
    #[token("words")]
    Words,
    #[token("fill")]
    Fill,
    #[token("absent")]
    Absent,
    #[token("hex")]
    Hex,
    #[token("blake3")]
    Blake3,
    #[token("every")]
    Every,
    #[token("step")]
    Step,
    #[token("window")]
    Window,
    #[token("first")]
    First,
    #[token("count")]
    Count,
    #[token("base")]
    Base,
    #[token("stride")]
    Stride,
    #[token("index")]
    Index,
    #[token("row")]
    Row,
    #[token("by")]
    By,
    #[token("start")]
    Start,
    #[token("add")]
    Add,
    #[token("zero")]
    Zero,
    #[token("i8")]
    I8,
    #[token("f8")]
    F8,
    #[token("i4")]
    I4,
    #[token("f4")]
    F4,
    #[token("f8wide")]
    F8Wide,
    #[token("f16")]
    F16,
    #[token("f16low")]
    F16Low,
    #[token("i32")]
    I32,
    #[token("f32")]
    F32,
    #[token("mask")]
    Mask,

    #[token("Sync")]
    Sync,
    #[token("Notify")]
    Notify,
    #[token("Ifetch")]
    Ifetch,
    #[token("Config")]
    Config,
    #[token("Read")]
    Read,
    #[token("Write")]
    Write,
    #[token("Gather")]
    Gather,
    #[token("Scatter")]
    Scatter,
    #[token("LW")]
    Lw,
    #[token("IW")]
    Iw,
    #[token("ABC")]
    Abc,
    #[token("ACC")]
    Acc,
    #[token("Shift")]
    Shift,
    #[token("Select")]
    Select,
    #[token("Permute")]
    Permute,
    #[token("Distribute")]
    Distribute,
    #[token("Rotate")]
    Rotate,
    #[token("Transpose")]
    Transpose,
    #[token("Send")]
    Send,
    #[token("Receive")]
    Receive,
    #[token("Deskew")]
    Deskew,

    /// A word that means nothing, whole; and anything else. The grammar has no place for it, so it is reported where it stands and parsing goes on behind it.
    #[regex(r"[a-z_][A-Za-z0-9_.]*", priority = 1)]
    Unknown,
}

fn operation<'a>(lexer: &mut logos::Lexer<'a, Token<'a>>) -> Option<VxmOp> {
    VxmOp::ALL.into_iter().find(|op| op.name() == lexer.slice())
}

/// The text's tokens with their bytes.
pub(super) fn tokens(
    text: &str,
) -> impl Iterator<Item = Result<(usize, Token<'_>, usize), std::convert::Infallible>> {
    Token::lexer(text)
        .spanned()
        .map(|(token, span)| Ok((span.start, token.unwrap_or(Token::Unknown), span.end)))
}

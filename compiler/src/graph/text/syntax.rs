//! What a text says, before it means anything: names are not resolved, numbers are not read.

use std::ops::Range;

/// A thing and where it stands, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Spanned<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// A whole text. `'s` is the source.
#[derive(Debug)]
pub(super) struct File<'s> {
    pub(super) name: Spanned<&'s str>,
    pub(super) items: Vec<Item<'s>>,
}

/// A line of the graph.
#[derive(Debug)]
pub(super) enum Item<'s> {
    Node(Statement<'s>),
    Inputs(Vec<Spanned<u32>>),
    Output { name: Spanned<&'s str>, node: Spanned<u32> },
    State { names: [Spanned<&'s str>; 2], nodes: [Spanned<u32>; 2] },
}

/// `n1 = body : type ; origin`
#[derive(Debug)]
pub(super) struct Statement<'s> {
    pub(super) label: Spanned<u32>,
    pub(super) body: Spanned<Body<'s>>,
    pub(super) ty: Option<Spanned<Type<'s>>>,
    pub(super) origin: Option<Spanned<&'s str>>,
}

/// `f32[1, 64]`
#[derive(Debug)]
pub(super) struct Type<'s> {
    pub(super) element: Spanned<&'s str>,
    pub(super) shape: Vec<Spanned<&'s str>>,
}

/// What makes a tensor.
#[derive(Debug)]
pub(super) enum Body<'s> {
    Input(Spanned<&'s str>),
    Constant { encoding: Spanned<&'s str>, content: Spanned<Content<'s>> },
    Operator { name: Spanned<&'s str>, arguments: Vec<Spanned<Argument<'s>>> },
}

/// A constant's elements.
#[derive(Debug)]
pub(super) enum Content<'s> {
    Absent,
    Splat(Spanned<&'s str>),
    List(Vec<Spanned<&'s str>>),
    Hex(&'s str),
    Blake3(&'s str),
}

/// An operand or an attribute.
#[derive(Debug)]
pub(super) enum Argument<'s> {
    Node(u32),
    Flag(&'s str),
    Number(&'s str, Spanned<&'s str>),
    List(&'s str, Vec<Spanned<&'s str>>),
}

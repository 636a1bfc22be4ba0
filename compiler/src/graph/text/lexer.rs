//! Words of the text form.

use super::Problem;
use logos::Logos;

/// A word.
#[derive(Logos, Clone, Copy, Debug, PartialEq)]
#[logos(skip r"[ \t\r\n]+")]
pub(super) enum Token<'s> {
    #[token("graph")]
    Graph,
    #[token("input")]
    Input,
    #[token("inputs")]
    Inputs,
    #[token("constant")]
    Constant,
    #[token("output")]
    Output,
    #[token("state")]
    State,
    #[token("absent")]
    Absent,
    #[token("splat")]
    Splat,
    #[token("hex")]
    Hex,
    #[token("blake3")]
    Blake3,
    #[token("{")]
    Open,
    #[token("}")]
    Close,
    #[token("[")]
    OpenList,
    #[token("]")]
    CloseList,
    #[token("=")]
    Is,
    #[token(",")]
    Comma,
    #[token(":")]
    Colon,
    #[token("->")]
    Arrow,
    /// `n12`, its number.
    #[regex("n[0-9]+", |lex| lex.slice()[1..].parse().ok(), priority = 10)]
    Node(u32),
    /// As it stands; what is a number depends on the type.
    #[regex(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?", priority = 10)]
    #[regex(r"0x[0-9a-f]+", priority = 20)]
    #[regex(r"-?inf", priority = 20)]
    Number(&'s str),
    #[regex("[a-zA-Z_][a-zA-Z0-9_]*", priority = 2)]
    Word(&'s str),
    /// Quotes and escapes included.
    #[regex(r#""([^"\\\n]|\\[^\n])*""#)]
    Text(&'s str),
    /// From `;` to the end of the line: after a node, its origin; alone on a line, a comment.
    #[regex(r";[^\n]*", allow_greedy = true)]
    Origin(&'s str),
}

/// A word with its place, or what is wrong there.
pub(super) type Lexeme<'s> = Result<(usize, Token<'s>, usize), Problem>;

/// The words of a text, comments left out.
pub(super) fn words(source: &str) -> impl Iterator<Item = Lexeme<'_>> {
    Token::lexer(source).spanned().filter_map(move |(token, span)| match token {
        Ok(Token::Origin(_)) if stands_alone(source, span.start) => None,
        Ok(token) => Some(Ok((span.start, token, span.end))),
        Err(()) => {
            let message = match source[span.clone()].chars().next() {
                Some('"') => "this text is not closed on its line".to_owned(),
                _ => format!("`{}` is no word of the graph language", source[span.clone()].escape_debug()),
            };
            Some(Err(Problem { span, message }))
        }
    })
}

fn stands_alone(source: &str, at: usize) -> bool {
    source[..at].chars().rev().take_while(|&c| c != '\n').all(char::is_whitespace)
}

/// A text in quotes.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => quoted.extend(c.escape_unicode()),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// What stands in quotes; an error where it is not as [`quote`] writes it.
pub(super) fn unquote(quoted: &str) -> Result<String, String> {
    let inner = quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .ok_or("a text must stand in quotes")?;
    let mut text = String::new();
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some(c @ ('"' | '\\')) => text.push(c),
                Some('n') => text.push('\n'),
                Some('u') => {
                    let code: String =
                        rest.by_ref().skip_while(|&c| c == '{').take_while(|&c| c != '}').collect();
                    let c = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                    text.push(c.ok_or_else(|| format!("`\\u{{{code}}}` is no character"))?);
                }
                _ => return Err("escapes are \\\" \\\\ \\n \\u{…}".to_owned()),
            },
            '"' => return Err("a quote inside a text must be written \\\"".to_owned()),
            c => text.push(c),
        }
    }
    Ok(text)
}

//! Text to token ids and back, where the model ships its vocabulary (metadata `tokenizer.vocabulary`, a JSON list).

use std::collections::BTreeMap;

/// The tokens of a model.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    tokens: Vec<String>,
    /// Tokens are spelled in the byte-level alphabet of GPT-2, where `Ġ` is a space.
    byte_level: bool,
}

impl Vocabulary {
    /// The vocabulary in a model's metadata; nothing where it ships none.
    pub(crate) fn of(metadata: &BTreeMap<String, String>) -> Option<Vocabulary> {
        let tokens: Vec<String> = serde_json::from_str(metadata.get("tokenizer.vocabulary")?).ok()?;
        let byte_level = tokens.iter().any(|token| token.starts_with('Ġ'));
        Some(Vocabulary { tokens, byte_level })
    }

    /// Token ids of a text: the longest token that fits, again and again. Exact for vocabularies of characters; byte-pair
    /// vocabularies merge in another order, so prefer `--prompt-ids` there. The error names the character that no token has.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        let spelled: String =
            if self.byte_level { text.bytes().map(byte_char).collect() } else { text.to_owned() };
        let ids: BTreeMap<&str, u32> = self.tokens.iter().map(String::as_str).zip(0..).collect();
        let longest = self.tokens.iter().map(String::len).max().unwrap_or(0);
        let (mut rest, mut found) = (spelled.as_str(), Vec::new());
        while let Some(character) = rest.chars().next() {
            let ends = (1..=longest.min(rest.len())).rev().filter(|&end| rest.is_char_boundary(end));
            let fit = ends.filter_map(|end| ids.get(&rest[..end]).map(|&id| (id, end))).next();
            let (id, end) =
                fit.ok_or_else(|| format!("no token of the model's vocabulary spells `{character}`"))?;
            found.push(id);
            rest = &rest[end..];
        }
        Ok(found)
    }

    /// The text of token ids; bytes that are not UTF-8 become the replacement character.
    pub(crate) fn decode(&self, ids: &[u32]) -> String {
        let spelled: String =
            ids.iter().filter_map(|&id| self.tokens.get(id as usize)).map(String::as_str).collect();
        if !self.byte_level {
            return spelled;
        }
        let bytes: BTreeMap<char, u8> = (0..=255).map(|byte| (byte_char(byte), byte)).collect();
        let mut raw = Vec::new();
        for character in spelled.chars() {
            match bytes.get(&character) {
                Some(&byte) => raw.push(byte),
                None => raw.extend(character.to_string().bytes()),
            }
        }
        String::from_utf8_lossy(&raw).into_owned()
    }
}

/// The character that stands for a byte in byte-level vocabularies: itself where it prints, else one from U+0100 on.
fn byte_char(byte: u8) -> char {
    let prints = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if prints(byte) {
        return char::from(byte);
    }
    let rank = (0..byte).filter(|&lower| !prints(lower)).count() as u32;
    char::from_u32(0x100 + rank).expect("at most U+0143")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(tokens: &[&str]) -> Vocabulary {
        let json = serde_json::to_string(tokens).expect("strings");
        Vocabulary::of(&BTreeMap::from([("tokenizer.vocabulary".to_owned(), json)])).expect("a list")
    }

    #[test]
    fn texts_go_there_and_back() {
        let characters = vocabulary(&["\n", " ", "a", "b", "ü"]);
        assert_eq!(characters.encode("ab ü\n"), Ok(vec![2, 3, 1, 4, 0]));
        assert_eq!(characters.decode(&[2, 3, 1, 4, 0]), "ab ü\n");
        assert_eq!(characters.encode("ax"), Err("no token of the model's vocabulary spells `x`".to_owned()));
        let bytes = vocabulary(&["a", "Ġ", "Ġa", "Ã", "¼", "aa", "Ċ"]);
        assert_eq!(bytes.encode("aa a ü\n"), Ok(vec![5, 2, 1, 3, 4, 6]));
        assert_eq!(bytes.decode(&[5, 2, 1, 3, 4, 6]), "aa a ü\n");
        assert!(Vocabulary::of(&BTreeMap::new()).is_none());
    }
}

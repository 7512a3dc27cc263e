//! From the nodes that a pickle made to the JSON value that they stand for.
use std::borrow::Cow;

use serde_json::{Map, Value};

use super::constructor::uuid_text;
use super::input::guessed;
use super::{
    BROKEN, COMPOUND_KEY, MAX_DEPTH, MAX_TEXT, MAX_VALUES, Node, RUNS_CODE, Reason, TOO_DEEP, TOO_MANY,
    TOO_MUCH_TEXT,
};

/// The value of the node at this index. A container within itself ends at the greatest depth.
pub(super) fn build(nodes: &[Node<'_>], root: usize) -> Result<Value, Reason> {
    Builder { nodes, values_left: MAX_VALUES, text_left: MAX_TEXT }.value(root, MAX_DEPTH)
}

struct Builder<'a> {
    nodes: &'a [Node<'a>],
    values_left: usize,
    text_left: usize,
}

impl<'a> Builder<'a> {
    /// The value of a node, around which `depth` containers fewer than at the root may stand.
    fn value(&mut self, node: usize, depth: usize) -> Result<Value, Reason> {
        self.values_left = self.values_left.checked_sub(1).ok_or(TOO_MANY)?;
        match self.node(node)? {
            Node::None => Ok(Value::Null),
            Node::Bool(bool) => Ok(Value::Bool(*bool)),
            Node::Integer(number) => Ok(Value::Number(number.clone())),
            Node::Float(float) => Ok(Value::from(*float)),
            Node::List(items) | Node::Tuple(items) | Node::Set(items) => self.array(items, depth),
            Node::Dict(pairs) => self.object(pairs, depth),
            node => {
                let text = self.text_of(node)?;
                self.text(text).map(Value::String)
            }
        }
    }

    /// The text of what is one.
    fn text_of(&self, node: &'a Node<'_>) -> Result<Cow<'a, str>, Reason> {
        match node {
            Node::Text(text) | Node::Digits(text) => Ok(Cow::Borrowed(text)),
            // No more than there may be is made of them.
            Node::Bytes(bytes) if bytes.len() > self.text_left => Err(TOO_MUCH_TEXT),
            Node::Bytes(bytes) => Ok(guessed(bytes)),
            Node::Latin1(text) => {
                let Node::Text(text) = self.node(*text)? else { return Err(BROKEN) };
                if text.len() > self.text_left {
                    return Err(TOO_MUCH_TEXT);
                }
                let bytes: Option<Vec<u8>> = text.chars().map(|letter| u8::try_from(letter).ok()).collect();
                Ok(Cow::Owned(guessed(&bytes.ok_or(BROKEN)?).into_owned()))
            }
            Node::Uuid(Some(bytes)) => Ok(Cow::Owned(uuid_text(*bytes))),
            Node::Uuid(None) => Err(BROKEN),
            _ => Err(RUNS_CODE),
        }
    }

    fn node(&self, index: usize) -> Result<&'a Node<'a>, Reason> {
        self.nodes.get(index).ok_or(BROKEN)
    }

    fn array(&mut self, items: &[usize], depth: usize) -> Result<Value, Reason> {
        let inner = depth.checked_sub(1).ok_or(TOO_DEEP)?;
        let mut array = Vec::new();
        for item in items {
            array.push(self.value(*item, inner)?);
        }
        Ok(Value::Array(array))
    }

    fn object(&mut self, pairs: &[(usize, usize)], depth: usize) -> Result<Value, Reason> {
        let inner = depth.checked_sub(1).ok_or(TOO_DEEP)?;
        let mut object = Map::new();
        for (key, value) in pairs {
            let key = self.key_text(self.node(*key)?)?;
            object.insert(self.text(key)?, self.value(*value, inner)?);
        }
        Ok(Value::Object(object))
    }

    /// A key as Python's `str` writes it.
    fn key_text(&self, key: &'a Node<'_>) -> Result<Cow<'a, str>, Reason> {
        match key {
            Node::None => Ok(Cow::Borrowed("None")),
            Node::Bool(true) => Ok(Cow::Borrowed("True")),
            Node::Bool(false) => Ok(Cow::Borrowed("False")),
            Node::Integer(number) => Ok(Cow::Owned(number.to_string())),
            Node::Float(float) => Ok(Cow::Owned(float_text(*float))),
            Node::List(_) | Node::Tuple(_) | Node::Set(_) | Node::Dict(_) => Err(COMPOUND_KEY),
            text => self.text_of(text),
        }
    }

    /// Counts before it copies.
    fn text(&mut self, text: Cow<'_, str>) -> Result<String, Reason> {
        self.text_left = self.text_left.checked_sub(text.len()).ok_or(TOO_MUCH_TEXT)?;
        Ok(text.into_owned())
    }
}

/// Rust and Python write the fewest digits that tell a float from any other, and begin to use an exponent at
/// the same sizes; but Python signs the exponent and gives it at least two digits.
fn float_text(float: f64) -> String {
    let text = format!("{float:?}").to_lowercase();
    match text.split_once('e').map(|(digits, exponent)| (digits, exponent.parse::<i32>())) {
        Some((digits, Ok(exponent))) => format!("{digits}e{exponent:+03}"),
        Some((_, Err(_))) | None => text,
    }
}

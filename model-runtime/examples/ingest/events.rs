//! The events file.
use crate::Failure;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::str::FromStr;

/// One change of one file.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) time: i64,
    pub(crate) path: String,
    pub(crate) added: i64,
    pub(crate) removed: i64,
}

/// Reads every event; a malformed line is named with what was expected.
pub(crate) fn read(file: &Path) -> Result<Vec<Event>, Failure> {
    let shape = ["unix time", "path", "lines added", "lines removed"];
    lines(file, shape, |[time, path, added, removed]| {
        Ok(Event { time: time.parse()?, path: path.text(), added: added.parse()?, removed: removed.parse()? })
    })
}

/// One column of a line.
pub(crate) struct Column<'l> {
    name: &'static str,
    text: &'l str,
}

impl Column<'_> {
    pub(crate) fn parse<T: FromStr>(&self) -> Result<T, String> {
        self.text
            .parse()
            .map_err(|_| format!("expected a whole number as {}, found {:?}", self.name, self.text))
    }

    pub(crate) fn text(&self) -> String {
        self.text.to_owned()
    }
}

/// Parses each line of a tab-separated file, gzipped or plain.
pub(crate) fn lines<T, const N: usize>(
    file: &Path,
    shape: [&'static str; N],
    parse: impl Fn([Column<'_>; N]) -> Result<T, String>,
) -> Result<Vec<T>, Failure> {
    let name = file.display();
    let opened = File::open(file).map_err(|error| format!("{name}: {error}; give another file"))?;
    let mut parsed = Vec::new();
    for (index, line) in BufReader::new(unzipped(file, opened)).lines().enumerate() {
        let at = |reason: String| format!("{name}, line {}: {reason}", index + 1);
        let line = line.map_err(|error| at(format!("cannot be read: {error}")))?;
        parsed.push(columns(&line, shape).and_then(&parse).map_err(at)?);
    }
    Ok(parsed)
}

fn unzipped(name: &Path, file: File) -> Box<dyn Read> {
    match name.extension() {
        Some(extension) if extension == "gz" => Box::new(MultiGzDecoder::new(file)),
        _ => Box::new(file),
    }
}

fn columns<'l, const N: usize>(line: &'l str, shape: [&'static str; N]) -> Result<[Column<'l>; N], String> {
    let texts: Vec<&str> = line.split('\t').collect();
    if texts.len() != N {
        return Err(format!("expected {N} columns ({}), found {}", shape.join(", "), texts.len()));
    }
    Ok(std::array::from_fn(|i| Column { name: shape[i], text: texts[i] }))
}

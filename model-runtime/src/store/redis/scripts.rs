//! The protocol's steps as Lua: each file mirrors the function of `cache/protocol.rs` that it names.
use redis::Script;
use std::sync::LazyLock;

/// One script and its SHA-1.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) text: &'static str,
    pub(super) hash: String,
}

macro_rules! steps { ($($name:ident $file:literal)*) => {
    $(pub(super) static $name: LazyLock<Step> = LazyLock::new(|| {
        let text = include_str!($file);
        Step { text, hash: Script::new(text).get_hash().to_owned() }
    });)*

    /// Every script.
    pub(super) fn all() -> [&'static Step; [$($file),*].len()] {
        [$(&*$name),*]
    }
} }

steps! {
    DEREF "deref.lua"
    SWAP "swap.lua"
    POINT "point.lua"
    UNPOINT "unpoint.lua"
    PLACE "place.lua"
    RELEASE "release.lua"
}

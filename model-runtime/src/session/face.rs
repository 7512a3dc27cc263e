//! What running an operation returns: a `Result`, or a future of one.
use crate::engine::Executor;
use crate::operation::Operation;

/// The output of a session.
// Apart from `Runner`: beside a `&'d mut self` method rustc would demand `where Self: 'd` on the type,
// which poisons higher-ranked bounds.
pub trait Face {
    /// `Result<T>` for [`Session`](crate::Session), a boxed `Send` future of it for `AsyncSession`.
    type Out<'d, T>
    where
        T: Send + 'd;
}

/// A session that users hold: it runs operations.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a session",
    label = "expected `&mut Session<_>` or `&mut AsyncSession<_>`",
    note = "wrap the connection: `let mut db = Session::new(&mut conn, &cache);`"
)]
pub trait Runner: Executor + Face + Sized {
    /// Runs the operation.
    fn drive<'d, O: Operation<Self> + 'd>(&'d mut self, operation: O) -> Self::Out<'d, O::Output>
    where
        O::Output: 'd;
}

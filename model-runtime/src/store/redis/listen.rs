//! Hearing of writes: a connection with client tracking, on which Redis pushes the keys that anybody writes.
use crate::store::Ear;
use redis::{
    Client, Connection, IntoConnectionInfo, ProtocolVersion, PushKind, RedisError, RedisResult, Value, cmd,
};
use std::time::Duration;

/// How often the server is asked for a sign of life: it answers each question that late, and keys in between.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Where to listen.
pub(super) struct Tracking {
    client: Client,
    connect_timeout: Duration,
    io_timeout: Duration,
}

impl Tracking {
    pub(super) fn new(client: Client, connect_timeout: Duration, io_timeout: Duration) -> Self {
        Self { client, connect_timeout, io_timeout }
    }

    /// Tells of writes until the connection breaks or nobody wants to hear of them.
    pub(super) fn listen(&self, ear: &mut dyn Ear) -> RedisResult<()> {
        let mut connection = self.connect()?;
        // Nobody writes this key: to wait for it is the question.
        let mut unwritten = String::new();
        while let Some(wanted) = ear.wanted() {
            if let Some(prefix) = wanted.first() {
                unwritten = format!("{prefix}unwritten");
                let mut track = cmd("CLIENT");
                track.arg("TRACKING").arg("ON").arg("BCAST");
                for prefix in wanted {
                    track.arg("PREFIX").arg(prefix);
                }
                ask(&mut connection, &track.get_packed_command(), ear)?;
                ear.listening();
            }
            let mut question = cmd("BLPOP");
            question.arg(&unwritten).arg(HEARTBEAT.as_secs_f64());
            ask(&mut connection, &question.get_packed_command(), ear)?;
        }
        Ok(())
    }

    fn connect(&self) -> RedisResult<Connection> {
        // Pushes are of RESP3.
        let info = self.client.get_connection_info().clone().into_connection_info()?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(settings))?;
        let connection = client.get_connection_with_timeout(self.connect_timeout)?;
        connection.set_read_timeout(Some(HEARTBEAT + self.io_timeout))?;
        connection.set_write_timeout(Some(self.io_timeout))?;
        Ok(connection)
    }
}

/// Sends a command and tells of keys until its answer comes.
fn ask(connection: &mut Connection, command: &[u8], ear: &mut dyn Ear) -> RedisResult<()> {
    connection.send_packed_command(command)?;
    loop {
        match connection.recv_response()? {
            Value::Push { kind: PushKind::Invalidate, data } => tell(data, ear),
            Value::Push { .. } => {}
            Value::ServerError(error) => return Err(RedisError::from(error)),
            _ => return Ok(()),
        }
    }
}

/// Redis pushes the keys, or nothing where all are gone.
fn tell(data: Vec<Value>, ear: &mut dyn Ear) {
    for value in data {
        let Value::Array(keys) = value else { return ear.anything_written() };
        for key in keys {
            match key {
                Value::BulkString(key) => ear.written(&String::from_utf8_lossy(&key)),
                _ => ear.anything_written(),
            }
        }
    }
}

//! PostgreSQL, through the asynchronous driver on a runtime of the connection's own thread: so a
//! server that hangs can be given up.

use std::collections::HashMap;
use std::error::Error as _;
use std::future::Future;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, Error, Statement};

use super::tls::Tls;
use super::{Connection, Role, STATEMENTS_MAX};
use crate::error::DatabaseError;
use crate::location::Postgres;
use crate::value::{Row, Value};

/// How long a job waits for a database that is away; then its caller is told.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_PAUSE: Duration = Duration::from_millis(100);
/// How long the server hears nothing before it asks whether the client is still there; the same
/// the other way.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// How long a statement may take, the network included: longer than the server lets it run, so that
/// only a server that hangs is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(75);
/// What the server does by itself to a client that hangs, so that it does not hold up the others:
/// milliseconds.
const SETTINGS: &str = "-c lock_timeout=10000 -c statement_timeout=60000 \
    -c idle_in_transaction_session_timeout=20000 -c tcp_keepalives_idle=20 \
    -c client_min_messages=warning";
/// What was answered must be durable, whatever the server's default. A stricter one stays.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', false) \
    WHERE current_setting('synchronous_commit') = 'off'";

pub(super) struct Connected {
    client: Client,
    /// Runs the connection, too, whenever a statement is waited for.
    runtime: Runtime,
    statements: HashMap<String, Prepared>,
    /// Counts uses, to find the statement that was not used for longest.
    uses: u64,
}

struct Prepared {
    statement: Statement,
    used: u64,
}

impl Connected {
    pub(super) fn open(at: &Postgres, role: Role) -> Result<Self, DatabaseError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| DatabaseError::new(format!("a thread's runtime: {e}")))?;
        let config = config(at, role);
        let tls = Tls::new(at.ca.as_deref(), is_loopback(&at.host))?;
        let client = runtime.block_on(in_time(patiently(config, tls)))?;
        let mut connected = Self { client, runtime, statements: HashMap::new(), uses: 0 };
        if role != Role::Read {
            connected.execute_all(DURABLE)?;
        }
        Ok(connected)
    }

    /// Waits for the server, unless it hangs: then this connection is not used again.
    fn wait<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, DatabaseError> {
        let answer = async { tokio::time::timeout(ANSWER_TIMEOUT, asked).await };
        match self.runtime.block_on(answer) {
            Ok(answer) => Ok(answer?),
            // Not asked again: it would take as long.
            Err(_) => Err(DatabaseError::temporary("the database does not answer")),
        }
    }

    /// The statement, prepared for parameters of these types.
    fn prepared(&mut self, sql: &str, values: &[Value]) -> Result<Statement, DatabaseError> {
        self.uses += 1;
        if let Some(prepared) = self.statements.get_mut(sql)
            && prepared.statement.params().iter().zip(values).all(|(of, value)| fits(value, of))
        {
            prepared.used = self.uses;
            return counted(&prepared.statement, values);
        }
        if self.statements.len() >= STATEMENTS_MAX
            && let Some(oldest) = self.statements.iter().min_by_key(|(_, kept)| kept.used)
        {
            let oldest = oldest.0.clone();
            self.statements.remove(&oldest);
        }
        let types: Vec<Type> = values.iter().map(type_of).collect();
        let statement = self.wait(self.client.prepare_typed(sql, &types))?;
        let prepared = Prepared { statement: statement.clone(), used: self.uses };
        self.statements.insert(sql.to_owned(), prepared);
        counted(&statement, values)
    }
}

/// The driver panics where the number of parameters is another.
fn counted(statement: &Statement, values: &[Value]) -> Result<Statement, DatabaseError> {
    let (wanted, given) = (statement.params().len(), values.len());
    if wanted != given {
        return Err(DatabaseError::new(format!(
            "a statement has {wanted} parameters, not {given}"
        )));
    }
    Ok(statement.clone())
}

fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as _).collect()
}

impl Connection for Connected {
    fn query(
        &mut self,
        sql: &str,
        values: &[Value],
        first: bool,
    ) -> Result<Vec<Row>, DatabaseError> {
        let statement = self.prepared(sql, values)?;
        let rows = self.wait(self.client.query(&statement, &parameters(values)))?;
        let max = if first { 1 } else { usize::MAX };
        rows.iter().take(max).map(owned).collect()
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, DatabaseError> {
        let statement = self.prepared(sql, values)?;
        self.wait(self.client.execute(&statement, &parameters(values)))
    }

    fn execute_all(&mut self, sql: &str) -> Result<(), DatabaseError> {
        self.wait(self.client.batch_execute(sql))
    }
}

fn config(at: &Postgres, role: Role) -> Config {
    let mut config = Config::new();
    let read_only = if role == Role::Read { " -c default_transaction_read_only=on" } else { "" };
    config
        .host(&at.host)
        .port(at.port)
        .user(&at.user)
        .dbname(&at.database)
        .application_name("datapact")
        .options(format!("{SETTINGS}{read_only}"))
        .keepalives_idle(KEEPALIVE)
        .tcp_user_timeout(KEEPALIVE)
        .ssl_mode(ssl_mode(at));
    if let Some(password) = &at.password {
        config.password(password.as_bytes());
    }
    config
}

/// Whatever leaves this machine is encrypted, to a server with the right certificate.
fn ssl_mode(at: &Postgres) -> SslMode {
    match (at.host.starts_with('/'), is_loopback(&at.host) && at.ca.is_none()) {
        (true, _) => SslMode::Disable,
        (_, true) => SslMode::Prefer,
        (_, false) => SslMode::Require,
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A connection, as soon as a server that is being restarted takes it.
async fn patiently(config: Config, tls: Tls) -> Result<Client, DatabaseError> {
    loop {
        match config.connect(tls.clone()).await {
            Ok((client, connection)) => {
                tokio::spawn(async move {
                    // Statements get the error, too.
                    let _ = connection.await;
                });
                return Ok(client);
            }
            Err(error) if is_starting(&error) => tokio::time::sleep(CONNECT_PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
}

async fn in_time<T>(
    connecting: impl Future<Output = Result<T, DatabaseError>>,
) -> Result<T, DatabaseError> {
    let late = |_| DatabaseError::temporary("the database does not answer");
    tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(late)?
}

/// Whether the server takes no connection yet: it does not listen, is starting, or has too many.
fn is_starting(error: &Error) -> bool {
    io(error) == Some(ErrorKind::ConnectionRefused)
        || error.code().is_some_and(|code| ["57P03", "53300"].contains(&code.code()))
}

fn io(error: &Error) -> Option<ErrorKind> {
    error.source()?.downcast_ref::<std::io::Error>().map(std::io::Error::kind)
}

/// The type that a parameter is sent as; unknown, as which the server decides itself, for NULL.
fn type_of(value: &Value) -> Type {
    match value {
        Value::Null => Type::UNKNOWN,
        Value::Integer(_) => Type::INT8,
        Value::Text(_) => Type::TEXT,
        Value::Blob(_) => Type::BYTEA,
    }
}

/// Whether `value` can be sent as `of`, which may come from an earlier use with NULL.
fn fits(value: &Value, of: &Type) -> bool {
    matches!(value, Value::Null) || type_of(value) == *of
}

impl ToSql for Value {
    fn to_sql(
        &self,
        of: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(number) => number.to_sql(of, out),
            Self::Text(text) => text.to_sql(of, out),
            Self::Blob(bytes) => bytes.to_sql(of, out),
        }
    }

    /// `fits` looks at the value, too.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn owned(row: &tokio_postgres::Row) -> Result<Row, DatabaseError> {
    let column = |(index, column): (usize, &tokio_postgres::Column)| {
        let value: Value = match *column.type_() {
            Type::INT8 => row.try_get::<_, Option<i64>>(index)?.into(),
            Type::INT4 => row.try_get::<_, Option<i32>>(index)?.map(i64::from).into(),
            Type::INT2 => row.try_get::<_, Option<i16>>(index)?.map(i64::from).into(),
            Type::BOOL => row.try_get::<_, Option<bool>>(index)?.into(),
            Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN => {
                row.try_get::<_, Option<String>>(index)?.into()
            }
            Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(index)?.into(),
            ref other => {
                let why = format!("a column of type `{other}` cannot be read; cast it");
                return Err(DatabaseError::new(why));
            }
        };
        Ok(value)
    };
    Ok(Row::new(row.columns().iter().enumerate().map(column).collect::<Result<_, _>>()?))
}

impl From<Error> for DatabaseError {
    fn from(error: Error) -> Self {
        let message = match error.as_db_error() {
            Some(said) => format!("{} ({})", said.message(), said.code().code()),
            None => match error.source() {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            },
        };
        let Some(code) = error.code() else {
            return match error.is_closed() || io(&error).is_some() {
                true => Self::gone(message),
                false => Self::new(message),
            };
        };
        let code = code.code();
        // The class of lost connections, and a server that is shutting down, has crashed, or is
        // starting.
        if code.starts_with("08") || ["57P01", "57P02", "57P03"].contains(&code) {
            return Self::gone(message);
        }
        // The classes rollback, resources, operator intervention and system; read-only, and a lock
        // that another holds for too long.
        let is_temporary = ["40", "53", "57", "58"].iter().any(|class| code.starts_with(class))
            || ["25006", "55P03"].contains(&code);
        if is_temporary { Self::temporary(message) } else { Self::new(message) }
    }
}

//! Promise: at `rediss://…` the cache speaks TLS, sync and async: it trusts whom it is told to trust, and nobody else.
use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use integration_tests::databases;
use integration_tests::models::{Project, SCHEMA, projects};
use integration_tests::servers::RedisServer;
use model_runtime::prelude::*;
use model_runtime::store::Tls;
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

integration_tests::project_cached_as! {
    /// Copies of it end where the server tells so.
    Close: slug, ttl = "1h", near = "1h"
}

/// An authority that signs.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn root(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate and its key.
    fn signed(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A server that speaks TLS on a port of its own, and the folder of its certificates.
struct Secure {
    _server: RedisServer,
    _folder: TempDir,
    url: String,
}

fn secure(authority: &Authority, asks_for_clients: bool) -> Secure {
    let folder = TempDir::new().unwrap();
    let (certificate, key) = authority.signed("localhost");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Path::to_str(&path).unwrap().to_owned()
    };
    let files = [file("root", &authority.root()), file("certificate", &certificate), file("key", &key)];
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port().to_string();
    let server = RedisServer::start_with(&[
        "--tls-port",
        &port,
        "--tls-ca-cert-file",
        &files[0],
        "--tls-cert-file",
        &files[1],
        "--tls-key-file",
        &files[2],
        "--tls-auth-clients",
        if asks_for_clients { "yes" } else { "no" },
    ]);
    Secure { _server: server, _folder: folder, url: format!("rediss://localhost:{port}/") }
}

/// A server so young is not filled for as long as an intent lives.
fn cache_at(url: &str, tls: Tls) -> Result<Cache, Error> {
    let patience = Duration::from_secs(20);
    let cache = Cache::builder().redis(url).tls(tls).intent_lifetime(Duration::from_millis(100));
    cache.connect_timeout(patience).io_timeout(patience).build()
}

#[test]
fn rows_are_cached_and_copies_are_told_of() {
    let authority = Authority::new();
    let (server, place) = (secure(&authority, false), databases::sqlite(SCHEMA));
    let cache = || cache_at(&server.url, Tls::default().root(authority.root().as_bytes())).unwrap();
    let (here, there) = (cache(), cache());
    let (mut one, mut other) = (place.connect(), place.connect());
    let (mut db, mut writer) = (Session::new(&mut one, &here), Session::new(&mut other, &there));
    let mut p = Close::create().organization_id(1).slug("pump").name("v0").execute(&mut db).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while here.stats().near_hits == 0 {
        assert_eq!(Close::get_from_cache(&mut db, projects::id, p.id).unwrap().name, "v0");
        assert!(Instant::now() < deadline, "nothing is kept: {:?}", here.stats());
    }
    assert!(here.stats().hits > 0);
    assert!(p.update().name("v1").execute(&mut writer).unwrap());
    while Close::get_from_cache(&mut db, projects::id, p.id).unwrap().name != "v1" {
        assert!(Instant::now() < deadline, "nobody tells");
    }
}

#[tokio::test]
async fn rows_are_cached_by_awaited_calls() {
    let authority = Authority::new();
    let (server, place) = (secure(&authority, false), databases::postgres(SCHEMA));
    let cache = cache_at(&server.url, Tls::default().root(authority.root().as_bytes())).unwrap();
    let (url, setup) = place.url_and_setup();
    let mut conn = AsyncPgConnection::establish(&url).await.unwrap();
    conn.batch_execute(&setup).await.unwrap();
    let mut db = AsyncSession::new(&mut conn, &cache);
    let p = Project::create().organization_id(1).slug("pump").name("Pump").execute(&mut db).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while cache.stats().hits == 0 {
        assert_eq!(Project::get_from_cache(&mut db, projects::id, p.id).await.unwrap(), p);
        assert!(Instant::now() < deadline, "no hit: {:?}", cache.stats());
    }
}

#[test]
fn a_server_that_nobody_vouches_for_is_not_spoken_to() {
    let server = secure(&Authority::new(), false);
    for tls in [Tls::default(), Tls::default().root(Authority::new().root().as_bytes())] {
        let error = cache_at(&server.url, tls).unwrap_err().to_string();
        assert!(error.contains("certificate"), "{error}");
    }
    let error = Cache::connect(&server.url).unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn a_server_that_asks_is_shown_a_certificate() {
    let authority = Authority::new();
    let server = secure(&authority, true);
    let trusting = || Tls::default().root(authority.root().as_bytes());
    assert!(matches!(cache_at(&server.url, trusting()), Err(Error::Cache(_))));
    let (certificate, key) = authority.signed("client");
    let tls = trusting().identity(certificate.as_bytes(), key.as_bytes());
    assert!(!format!("{tls:?}").contains("BEGIN"), "no key in logs");
    cache_at(&server.url, tls).unwrap();
}

#[test]
fn certificates_that_are_none_or_of_no_use_are_refused() {
    let (certificate, key) = Authority::new().signed("client");
    let url = "rediss://localhost:1/";
    let none = [
        (Tls::default().root(b"none"), "`root`"),
        (Tls::default().identity(b"none", key.as_bytes()), "certificate of `identity`"),
        (Tls::default().identity(certificate.as_bytes(), b"none"), "key of `identity`"),
    ];
    for (tls, what) in none {
        let error = cache_at(url, tls).unwrap_err().to_string();
        assert!(error.contains("TLS") && error.contains(what) && error.contains("BEGIN"), "{error}");
    }
    let tls = Tls::default().identity(certificate.as_bytes(), key.as_bytes());
    let error = cache_at("redis://localhost:1/", tls).unwrap_err().to_string();
    assert!(error.contains("rediss://"), "{error}");
}

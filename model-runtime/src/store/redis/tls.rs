//! TLS: whom to trust, and who to be.
use crate::error::{Error, Result};
use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, TlsCertificates};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The certificates of a connection at `rediss://…`; without any it trusts the system's.
#[derive(Clone, Default)]
pub struct Tls {
    root: Option<Vec<u8>>,
    identity: Option<ClientTlsConfig>,
}

// Not the key.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (root, identity) = (self.root.is_some(), self.identity.is_some());
        f.debug_struct("Tls").field("root", &root).field("identity", &identity).finish()
    }
}

impl Tls {
    /// Trusts the servers that this authority, in PEM, has signed, and not those of the system.
    #[must_use]
    pub fn root(self, certificate: &[u8]) -> Self {
        Self { root: Some(certificate.to_vec()), ..self }
    }

    /// Shows this certificate to a server that asks for one; both in PEM.
    #[must_use]
    pub fn identity(self, certificate: &[u8], key: &[u8]) -> Self {
        let identity = ClientTlsConfig { client_cert: certificate.to_vec(), client_key: key.to_vec() };
        Self { identity: Some(identity), ..self }
    }

    pub(super) fn client(&self, info: ConnectionInfo) -> Result<Client> {
        if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            let message = "certificates are of use with TLS alone; write `rediss://`, or leave them out";
            return Err(Error::Cache(message.into()));
        }
        // What is no PEM counts as no certificate further on.
        if self.root.iter().any(|pem| !has_certificates(pem)) {
            return Err(no_pem("`root` holds no certificate", "CERTIFICATE"));
        }
        if let Some(ClientTlsConfig { client_cert, client_key }) = &self.identity {
            if !has_certificates(client_cert) {
                return Err(no_pem("the certificate of `identity` is none", "CERTIFICATE"));
            }
            if PrivateKeyDer::from_pem_slice(client_key).is_err() {
                return Err(no_pem("the key of `identity` is none", "PRIVATE KEY"));
            }
        }
        let certificates =
            TlsCertificates { client_tls: self.identity.clone(), root_cert: self.root.clone() };
        Client::build_with_tls(info, certificates)
            .map_err(|error| Error::Cache(format!("TLS to Redis: {error}")))
    }
}

fn no_pem(what: &str, label: &str) -> Error {
    Error::Cache(format!("TLS to Redis: {what}; give the text of a PEM file, with `-----BEGIN {label}-----`"))
}

fn has_certificates(pem: &[u8]) -> bool {
    let mut found = CertificateDer::pem_slice_iter(pem).peekable();
    found.peek().is_some() && found.all(|certificate| certificate.is_ok())
}

/// rustls needs cryptography from elsewhere, once for a process: ring's, unless the application has chosen.
pub(super) fn provide() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may be faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

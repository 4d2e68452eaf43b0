//! Certificates, made for a test.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::Scratch;

/// An authority that signs what a test needs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM.
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority of tests");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// The authority's own certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a name or address.
    pub fn sign(&self, name: &str) -> Identity {
        self.sign_params(CertificateParams::new([name.to_owned()]).unwrap())
    }

    /// One that has expired.
    pub fn sign_expired(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 1);
        self.sign_params(params)
    }

    fn sign_params(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity {
            certificate,
            key: key.serialize_pem(),
        }
    }
}

impl Identity {
    /// Writes both files: certificate and key.
    pub fn write(&self, scratch: &Scratch, name: &str) -> (PathBuf, PathBuf) {
        let certificate = scratch.write(&format!("{name}.pem"), &self.certificate);
        let key = scratch.write(&format!("{name}.key"), &self.key);
        (certificate, key)
    }
}

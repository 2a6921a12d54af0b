//! Which nodes a certificate is for.

use std::fmt;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;
use yasna::models::ObjectIdentifier;

use crate::id::NodeId;

/// `id-at-commonName`.
const COMMON_NAME: [u64; 4] = [2, 5, 4, 3];

/// The nodes that a certificate names: by its common name, by a DNS name of it, or by the first label of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names(Vec<NodeId>);

impl Names {
    /// The names in a certificate, whoever has signed it. Names that no node can have are passed over.
    ///
    /// # Errors
    /// It is not a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, webpki::Error> {
        let certificate = EndEntityCert::try_from(certificate)?;
        let mut said = common_names(certificate.subject());
        for name in certificate.valid_dns_names() {
            said.push(name.to_owned());
            said.extend(name.split('.').next().map(str::to_owned));
        }
        let names = said.iter().filter_map(|name| NodeId::new(name).ok());
        let mut names: Vec<NodeId> = names.collect();
        names.sort_unstable();
        names.dedup();
        Ok(Self(names))
    }

    /// Whether it is for that node.
    pub fn has(&self, node: &str) -> bool {
        self.0.iter().any(|name| name.as_str() == node)
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(NodeId::as_str).collect();
        if names.is_empty() {
            f.write_str("no node")
        } else {
            f.write_str(&names.join(", "))
        }
    }
}

/// The common names of a subject: the content of a `Name`, a list of sets of pairs of a type and a value.
fn common_names(subject: &[u8]) -> Vec<String> {
    let wanted = ObjectIdentifier::from_slice(&COMMON_NAME);
    let mut names = Vec::new();
    // What is no text, or no name at all, names nobody.
    let _ = yasna::parse_der(&sequence(subject), |name| {
        name.read_sequence_of(|set| {
            set.read_set_of(|pair| {
                pair.read_sequence(|pair| {
                    let kind = pair.next().read_oid()?;
                    let value = pair.next().read_tagged_der()?;
                    let is_text = value.tag() == yasna::tags::TAG_UTF8STRING
                        || value.tag() == yasna::tags::TAG_PRINTABLESTRING;
                    if kind == wanted
                        && is_text
                        && let Ok(text) = std::str::from_utf8(value.value())
                    {
                        names.push(text.to_owned());
                    }
                    Ok(())
                })
            })
        })
    });
    names
}

/// A sequence with this content.
fn sequence(content: &[u8]) -> Vec<u8> {
    yasna::construct_der(|writer| writer.write_sequence(|writer| writer.next().write_der(content)))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    use super::*;

    fn names(common: &[&str], dns: &[&str]) -> Names {
        let dns: Vec<String> = dns.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(dns).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "not-a-node");
        for name in common {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Names::of(certificate.der()).unwrap()
    }

    #[test]
    fn a_node_is_named_by_its_common_name_a_dns_name_or_the_first_label_of_one() {
        let names = names(&["n1"], &["n2", "n3.ringpost.svc"]);
        for named in ["n1", "n2", "n3", "n3.ringpost.svc"] {
            assert!(names.has(named), "{named} in {names}");
        }
        for other in ["", "ringpost", "svc", "N1", "n", "n11", "not-a-node"] {
            assert!(!names.has(other), "{other} in {names}");
        }
    }

    #[test]
    fn wildcards_and_names_that_no_node_can_have_name_nobody() {
        let none = names(&["a b"], &["*.ringpost.svc"]);
        assert_eq!(none, Names(Vec::new()), "{none}");
        assert_eq!(none.to_string(), "no node");
        assert!(!none.has("*"));
    }

    #[test]
    fn a_common_name_may_be_printable_text_too() {
        let mut params = CertificateParams::default();
        let name = DnValue::PrintableString("n7".try_into().unwrap());
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert!(Names::of(certificate.der()).unwrap().has("n7"));
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert!(Names::of(&CertificateDer::from(vec![1, 2, 3])).is_err());
        assert!(common_names(b"\x31\xff").is_empty());
    }
}

//! What nodes have promised: whoever gives its copy of a stream to another owner takes nothing more
//! in that copy's configuration. So what the new owner fetches is all that the old one has committed,
//! even if that one does not know of it, because it was taken for dead.

use std::collections::BTreeMap;

use ringpost::core::peer::{Answer, Outcome, Reply, Request};
use ringpost::core::stream::{ConfigId, Holder};
use ringpost::id::StreamKey;

use super::world::Pid;

/// Of each node the configurations that it has given up, the latest of each stream.
#[derive(Default)]
pub struct Promises(BTreeMap<(Pid, StreamKey), ConfigId>);

/// What an owner asks a holder to do.
pub struct Asked {
    key: StreamKey,
    config: ConfigId,
    /// To take the whole stream, which it may do anew once it was told that its copy may go.
    whole: bool,
}

impl Asked {
    pub fn by(owner: &Holder, request: &Request) -> Option<Self> {
        let (key, number, whole) = match request {
            Request::Install(install) => (&install.key, install.number, true),
            Request::Replicate { key, number, .. } => (key, *number, false),
            _ => return None,
        };
        let owner = owner.clone();
        Some(Self {
            key: key.clone(),
            config: ConfigId { number, owner },
            whole,
        })
    }
}

impl Promises {
    /// A node has answered. Says what it should not have.
    pub fn answered(&mut self, by: Pid, asked: Option<Asked>, reply: &Reply) -> Option<String> {
        if let Answer::Consented { offers, .. } = &reply.answer {
            // An empty copy may go at once.
            for offer in offers.iter().filter(|offer| offer.tip.offset > 0) {
                let given = (by, offer.key.clone());
                self.0.insert(given, offer.config.clone());
            }
        }
        let Asked { key, config, whole } = asked.filter(|_| reply.outcome == Outcome::Done)?;
        let given = (by, key);
        if *self.0.get(&given)? != config {
            return None;
        }
        if whole {
            self.0.remove(&given);
            return None;
        }
        let (by, key) = given;
        Some(format!(
            "{by:?} has given {key} up in {config:?}, and goes on in it"
        ))
    }
}

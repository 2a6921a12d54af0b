//! Copies of streams and who holds them, to and from their wire form.

use super::check::{
    bounded, counted, each, generation, node_id, required, stream_key, stream_key_to_wire,
};
use super::stream::{position, snapshot};
use super::{WireError, proto};
use crate::core::peer::{Offer, Pulled};
use crate::core::ring::PREFERENCE_MAX;
use crate::core::stream::{ConfigId, Holder};

impl From<Holder> for proto::Holder {
    fn from(holder: Holder) -> Self {
        Self {
            node: holder.node.as_str().to_owned(),
            generation: holder.generation.0,
        }
    }
}

impl TryFrom<proto::Holder> for Holder {
    type Error = WireError;

    fn try_from(holder: proto::Holder) -> Result<Self, WireError> {
        Ok(Self {
            node: node_id(&holder.node)?,
            generation: generation(holder.generation)?,
        })
    }
}

/// The holders of a configuration: 1 to 8, each node once.
pub(super) fn holders(list: Vec<proto::Holder>) -> Result<Vec<Holder>, WireError> {
    if !(1..=PREFERENCE_MAX).contains(&list.len()) {
        return Err(WireError(
            "a configuration without holders, or with too many",
        ));
    }
    let holders: Vec<Holder> = each(list)?;
    let repeated = |(index, holder): (usize, &Holder)| {
        let mut before = holders[..index].iter();
        before.any(|other| other.node == holder.node)
    };
    if holders.iter().enumerate().any(repeated) {
        return Err(WireError("a node that holds a stream twice"));
    }
    Ok(holders)
}

impl From<ConfigId> for proto::ConfigId {
    fn from(config: ConfigId) -> Self {
        Self {
            number: config.number,
            owner: Some(config.owner.into()),
        }
    }
}

impl TryFrom<proto::ConfigId> for ConfigId {
    type Error = WireError;

    fn try_from(config: proto::ConfigId) -> Result<Self, WireError> {
        Ok(Self {
            number: counted(config.number)?,
            owner: required(config.owner, "a configuration without an owner")?,
        })
    }
}

fn config_id(config: Option<proto::ConfigId>) -> Result<ConfigId, WireError> {
    required(config, "a configuration is missing")
}

impl From<Offer> for proto::Offer {
    fn from(offer: Offer) -> Self {
        Self {
            key: stream_key_to_wire(&offer.key),
            config: Some(offer.config.into()),
            seq: offer.seq,
            tip: Some(offer.tip.into()),
        }
    }
}

impl TryFrom<proto::Offer> for Offer {
    type Error = WireError;

    fn try_from(offer: proto::Offer) -> Result<Self, WireError> {
        Ok(Self {
            key: stream_key(&offer.key)?,
            config: config_id(offer.config)?,
            seq: offer.seq,
            tip: position(offer.tip)?,
        })
    }
}

pub(super) fn offers_to_wire(offers: Vec<Offer>) -> Vec<proto::Offer> {
    offers.into_iter().map(Into::into).collect()
}

pub(super) fn offers(list: Vec<proto::Offer>) -> Result<Vec<Offer>, WireError> {
    each(bounded(list)?)
}

impl From<Pulled> for proto::Pulled {
    fn from(pulled: Pulled) -> Self {
        Self {
            config: Some(pulled.config.into()),
            seq: pulled.seq,
            snapshot: Some(pulled.snapshot.into()),
        }
    }
}

impl TryFrom<proto::Pulled> for Pulled {
    type Error = WireError;

    fn try_from(pulled: proto::Pulled) -> Result<Self, WireError> {
        Ok(Self {
            config: config_id(pulled.config)?,
            seq: pulled.seq,
            snapshot: snapshot(pulled.snapshot)?,
        })
    }
}

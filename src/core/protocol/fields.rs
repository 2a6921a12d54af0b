//! Where the fields of a request are in its text: found in one pass, and not looked at.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A string, borrowed unless it has escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// The text of a JSON string; `None` for any other value.
pub(super) fn text_of(raw: &str) -> Option<Cow<'_, str>> {
    // Many a field is no string, and an error costs more than all the rest.
    if !raw.starts_with('"') {
        return None;
    }
    serde_json::from_str::<Text<'_>>(raw)
        .ok()
        .map(|text| text.0)
}

/// A field that is there, be it `null`: serde's own `Option` would call that absent.
pub(super) fn present<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// The fields that any request may have, as they stand in the text, and the first that is repeated.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub kind: Option<&'a str>,
    pub id: Option<&'a str>,
    pub to: Option<&'a str>,
    pub body: Option<&'a str>,
    pub qos: Option<&'a str>,
    pub notify: Option<&'a str>,
    pub users: Option<&'a str>,
    pub room: Option<&'a str>,
    pub subscribe: Option<&'a str>,
    pub stream: Option<&'a str>,
    pub epoch: Option<&'a str>,
    pub offset: Option<&'a str>,
    pub rooms: Option<&'a str>,
    pub since: Option<&'a str>,
    pub echo: Option<&'a str>,
    pub after: Option<&'a str>,
    pub token: Option<&'a str>,
    pub repeated: Option<&'static str>,
}

impl<'a> Fields<'a> {
    fn slot(&mut self, name: &str) -> Option<(&'static str, &mut Option<&'a str>)> {
        Some(match name {
            "type" => ("type", &mut self.kind),
            "id" => ("id", &mut self.id),
            "to" => ("to", &mut self.to),
            "body" => ("body", &mut self.body),
            "qos" => ("qos", &mut self.qos),
            "notify" => ("notify", &mut self.notify),
            "users" => ("users", &mut self.users),
            "room" => ("room", &mut self.room),
            "subscribe" => ("subscribe", &mut self.subscribe),
            "stream" => ("stream", &mut self.stream),
            "epoch" => ("epoch", &mut self.epoch),
            "offset" => ("offset", &mut self.offset),
            "rooms" => ("rooms", &mut self.rooms),
            "since" => ("since", &mut self.since),
            "echo" => ("echo", &mut self.echo),
            "after" => ("after", &mut self.after),
            "token" => ("token", &mut self.token),
            _ => return None,
        })
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Fields::default();
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    let Some((name, slot)) = fields.slot(&name.0) else {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    let value = map.next_value::<&'de RawValue>()?.get();
                    let first = slot.replace(value).is_none();
                    // A repeated `id` counts most: then no id may be used to answer.
                    if !first && (fields.repeated.is_none() || name == "id") {
                        fields.repeated = Some(name);
                    }
                }
                Ok(fields)
            }
        }
        from.deserialize_map(Object)
    }
}

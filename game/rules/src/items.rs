//! What players can own and wear. Looks alone: nothing here touches a game's rules.
//!
//! The catalogue is part of the program. An item is owned from its level on, and a level never
//! falls, so that what is worn stays owned.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Where an item is worn; one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    Board,
    Pieces,
    Crest,
}

impl Slot {
    pub const ALL: [Slot; 3] = [Slot::Board, Slot::Pieces, Slot::Crest];
}

#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    pub id: &'static str,
    pub slot: Slot,
    /// The level from which on it is owned.
    pub level: u32,
}

const fn item(id: &'static str, slot: Slot, level: u32) -> Item {
    Item { id, slot, level }
}

/// Every item there is, by slot and level. Ids are stored and shown to clients: never reuse one.
pub static ITEMS: [Item; 12] = [
    item("board-dusk", Slot::Board, 1),
    item("board-nebula", Slot::Board, 3),
    item("board-aurora", Slot::Board, 8),
    item("board-eclipse", Slot::Board, 20),
    item("pieces-classic", Slot::Pieces, 1),
    item("pieces-comet", Slot::Pieces, 4),
    item("pieces-crystal", Slot::Pieces, 12),
    item("pieces-nova", Slot::Pieces, 25),
    item("crest-spark", Slot::Crest, 2),
    item("crest-orbit", Slot::Crest, 6),
    item("crest-zenith", Slot::Crest, 15),
    item("crest-vault", Slot::Crest, 40),
];

/// The items that a player of `level` owns.
pub fn owned_at(level: u32) -> impl Iterator<Item = &'static Item> {
    ITEMS.iter().filter(move |item| item.level <= level)
}

/// Why an item cannot be put on or taken off.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EquipError {
    #[error("there is no item {item_id:?}")]
    Unknown { item_id: String },
    #[error("{item_id} is owned from level {needs} on, and this player has level {level}")]
    NotOwned { item_id: String, needs: u32, level: u32 },
}

/// What a player wears: one item a slot at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Equipment {
    worn: [Option<&'static Item>; Slot::ALL.len()],
}

impl Equipment {
    /// Puts an item of the catalogue on, in place of what was worn in its slot. Answers whether
    /// that changed anything.
    pub fn put_on(&mut self, item_id: &str, level: u32) -> Result<bool, EquipError> {
        let item = known(item_id)?;
        if item.level > level {
            return Err(EquipError::NotOwned {
                item_id: item.id.to_owned(),
                needs: item.level,
                level,
            });
        }
        Ok(self.worn[item.slot as usize].replace(item) != Some(item))
    }

    /// Takes an item off; what is not worn changes nothing.
    pub fn take_off(&mut self, item_id: &str) -> Result<bool, EquipError> {
        let item = known(item_id)?;
        let slot = &mut self.worn[item.slot as usize];
        let worn = *slot == Some(item);
        if worn {
            *slot = None;
        }
        Ok(worn)
    }

    /// What is worn, by slot.
    pub fn items(&self) -> impl Iterator<Item = &'static Item> {
        self.worn.into_iter().flatten()
    }

    pub fn ids(&self) -> Vec<String> {
        self.items().map(|item| item.id.to_owned()).collect()
    }
}

fn known(item_id: &str) -> Result<&'static Item, EquipError> {
    ITEMS
        .iter()
        .find(|item| item.id == item_id)
        .ok_or_else(|| EquipError::Unknown {
            // Quoted back: no longer than an id can be.
            item_id: item_id.chars().take(crate::ID_CHARS_MAX).collect(),
        })
}

impl Serialize for Equipment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.items().map(|item| item.id))
    }
}

impl<'de> Deserialize<'de> for Equipment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut equipment = Equipment::default();
        for item_id in Vec::<String>::deserialize(deserializer)? {
            equipment.put_on(&item_id, u32::MAX).map_err(de::Error::custom)?;
        }
        Ok(equipment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_names_each_item_once_and_every_slot_has_one_early() {
        for (n, item) in ITEMS.iter().enumerate() {
            assert!(ITEMS[..n].iter().all(|other| other.id != item.id), "{}", item.id);
            assert!(crate::CommandId::new(item.id).is_ok(), "{} fits a URL", item.id);
        }
        for slot in Slot::ALL {
            assert!(owned_at(2).any(|item| item.slot == slot), "{slot:?}");
        }
        assert_eq!(owned_at(0).count(), 0);
        assert_eq!(owned_at(u32::MAX).count(), ITEMS.len());
    }

    #[test]
    fn an_item_is_worn_by_its_owner_one_a_slot() {
        let mut worn = Equipment::default();
        assert_eq!(worn.put_on("board-dusk", 3), Ok(true));
        assert_eq!(worn.put_on("crest-spark", 3), Ok(true));
        assert_eq!(
            worn.put_on("board-nebula", 3),
            Ok(true),
            "in place of the other board"
        );
        assert_eq!(worn.put_on("board-nebula", 3), Ok(false));
        assert_eq!(worn.ids(), ["board-nebula", "crest-spark"]);
        let refused = worn.put_on("board-aurora", 7).unwrap_err();
        assert_eq!(
            refused,
            EquipError::NotOwned {
                item_id: "board-aurora".into(),
                needs: 8,
                level: 7
            }
        );
        assert!(
            matches!(worn.put_on(&"x".repeat(900), 7), Err(EquipError::Unknown { item_id }) if item_id.len() == 64)
        );
        assert_eq!(worn.take_off("board-dusk"), Ok(false), "another one is worn");
        assert_eq!(worn.take_off("board-nebula"), Ok(true));
        assert_eq!(worn.ids(), ["crest-spark"]);
        let json = serde_json::to_string(&worn).unwrap();
        assert_eq!(json, r#"["crest-spark"]"#);
        assert_eq!(serde_json::from_str::<Equipment>(&json).unwrap(), worn);
        assert!(serde_json::from_str::<Equipment>(r#"["crown"]"#).is_err());
    }
}

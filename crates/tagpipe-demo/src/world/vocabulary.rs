//! The words from which brands, sets, cards, variations and card numbers are made.
//!
//! Each corner of the hobby has one [`Vocabulary`]. `brands`, `set_heads`, `set_tails` and `variations` are sorted
//! by their UTF-8 bytes and without repetition, so that picking ascending positions yields ascending, distinct
//! names; a test holds them to it. Heads and tails of names are joined by a space; an empty tail stands alone.

use std::fmt;
use std::sync::LazyLock;

use serde::ser::{Serialize, Serializer};

/// A name in up to three pieces, so that it needs no memory of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Words([&'static str; 3]);

impl Words {
    pub(crate) const NONE: Self = Self(["", "", ""]);

    pub(crate) const fn one(word: &'static str) -> Self {
        Self([word, "", ""])
    }

    fn joined(head: &'static str, tail: &'static str) -> Self {
        if tail.is_empty() {
            Self::one(head)
        } else {
            Self([head, " ", tail])
        }
    }

    pub(crate) fn pieces(self) -> [&'static str; 3] {
        self.0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0.iter().all(|piece| piece.is_empty())
    }

    /// Whether the pieces together read `text`.
    pub(crate) fn read(self, text: &str) -> bool {
        let mut rest = text;
        for piece in self.0 {
            match rest.strip_prefix(piece) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        rest.is_empty()
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| f.write_str(piece))
    }
}

impl Serialize for Words {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How the cards of a set are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbering {
    /// `53`
    Plain,
    /// `14/111`
    OfTotal,
    /// `014/111`
    PaddedOfTotal,
    /// `SP-4`
    Prefixed(&'static str),
}

/// The words of one corner of the hobby.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    pub(crate) brands: &'static [&'static str],
    set_heads: &'static [&'static str],
    set_tails: &'static [&'static str],
    card_heads: CardHeads,
    card_tails: &'static [&'static str],
    pub(crate) variations: &'static [&'static str],
    pub(crate) numberings: &'static [Numbering],
    /// Greatest distance between the numbers of two neighbouring rows: in sport few cards of a set are graded.
    pub(crate) widest_stride: u32,
}

/// The heads of card names: fixed words, or the hostile ones, of which one is built.
#[derive(Debug)]
enum CardHeads {
    Fixed(&'static [&'static str]),
    Hostile,
}

impl Vocabulary {
    /// How many different set names there are, without the base product.
    pub(crate) fn set_names(&self) -> u32 {
        (self.set_heads.len() * self.set_tails.len()) as u32
    }

    /// Set name `index`; 0 is the base product, whose name is empty.
    pub(crate) fn set_name(&self, index: u16) -> Words {
        let Some(place) = usize::from(index).checked_sub(1) else {
            return Words::NONE;
        };
        let tails = self.set_tails.len();
        Words::joined(self.set_heads[place / tails], self.set_tails[place % tails])
    }

    /// How many different card names there are.
    pub(crate) fn card_names(&self) -> u32 {
        (self.card_heads().len() * self.card_tails.len()) as u32
    }

    /// Card name `index`.
    pub(crate) fn card_name(&self, index: u32) -> Words {
        let tails = self.card_tails.len();
        let index = index as usize;
        Words::joined(self.card_heads()[index / tails], self.card_tails[index % tails])
    }

    fn card_heads(&self) -> &'static [&'static str] {
        match self.card_heads {
            CardHeads::Fixed(heads) => heads,
            CardHeads::Hostile => &HOSTILE_NAMES[..],
        }
    }
}

pub(crate) static SPORT: Vocabulary = Vocabulary {
    brands: &[
        "Absolute",
        "Allen & Ginter",
        "Archives",
        "Bowman",
        "Certified",
        "Chronicles",
        "Classic",
        "Donruss",
        "Flair",
        "Fleer",
        "Heritage",
        "Immaculate",
        "Leaf",
        "Mosaic",
        "National Treasures",
        "O-Pee-Chee",
        "Pacific",
        "Parkhurst",
        "Playoff",
        "Prizm",
        "SP Authentic",
        "Score",
        "Select",
        "Stadium Club",
        "Star's Choice",
        "Studio",
        "Topps",
        "Topps Chrome",
        "Ultra",
        "Upper Deck",
        "Victory",
    ],
    set_heads: &[
        "All-Star",
        "Aqua",
        "Black",
        "Blue",
        "Bronze",
        "Camo",
        "Diamond",
        "Emerald",
        "Gold",
        "Green",
        "Hall of Fame",
        "Hot",
        "Ice",
        "Leaders",
        "Light",
        "Magenta",
        "Mini",
        "Orange",
        "Pink",
        "Platinum",
        "Purple",
        "Red",
        "Rookie",
        "Ruby",
        "Sapphire",
        "Silver",
        "Tiffany",
        "Traded",
        "White",
        "Yellow",
    ],
    set_tails: &[
        "",
        "Blue",
        "Border",
        "Die-Cut",
        "Draft Picks",
        "Foil",
        "Holo",
        "Mojo",
        "Pulsar",
        "Rated '89",
        "Shimmer",
        "Signatures",
        "Stars & Stripes",
        "Update",
        "Wave",
        "Xfractor",
    ],
    card_heads: CardHeads::Fixed(&[
        "Al",
        "Andre",
        "Barry",
        "Bo",
        "Cal",
        "Carlos",
        "Chipper",
        "Chris",
        "Dale",
        "Dave",
        "Derek",
        "Don",
        "Eddie",
        "Frank",
        "Fred",
        "George",
        "Greg",
        "Hakeem",
        "Henrik",
        "Ivan",
        "Jaromír",
        "Jim",
        "Joe",
        "John",
        "José",
        "Juan",
        "Kareem",
        "Ken",
        "Kirby",
        "Larry",
        "Lionel",
        "Luka",
        "Magic",
        "Mark",
        "Martin",
        "Michael",
        "Mike",
        "Nikola",
        "Nolan",
        "Ozzie",
        "Patrick",
        "Pedro",
        "Randy",
        "Reggie",
        "Rickey",
        "Robin",
        "Roger",
        "Ryne",
        "Sammy",
        "Shaquille",
        "Steve",
        "Terry",
        "Tim",
        "Tom",
        "Tony",
        "Vladimír",
        "Wade",
        "Walter",
        "Wayne",
        "Will",
    ]),
    card_tails: &[
        "Acuña Jr.",
        "Álvarez",
        "Anderson",
        "Baines",
        "Barkley",
        "Bell",
        "Boggs",
        "Bourque",
        "Brett",
        "Brown",
        "Carew",
        "Clark",
        "Clemens",
        "Coffey",
        "Davis",
        "Dawson",
        "Dončić",
        "Eckersley",
        "Esposito",
        "Fisk",
        "Fuhr",
        "Gonzalez",
        "Gooden",
        "Grace",
        "Gwynn",
        "Hašek",
        "Henderson",
        "Hernández",
        "Hull",
        "Iverson",
        "Jackson",
        "Jágr",
        "Johnson",
        "Jordan",
        "Jokić",
        "Kurri",
        "LaFontaine",
        "Lemaire",
        "Maddux",
        "Martínez",
        "Mattingly",
        "McGwire",
        "Messier",
        "Molitor",
        "Murphy",
        "Nieuwendyk",
        "O'Neal",
        "O'Neill",
        "Oates",
        "Palmeiro",
        "Puckett",
        "Raines",
        "Ramírez",
        "Ripken Jr.",
        "Robinson",
        "Roy",
        "Ryan",
        "Sakic",
        "Sandberg",
        "Schmidt",
        "Selänne",
        "Smith",
        "Strawberry",
        "Suzuki",
        "Thomas",
        "Trammell",
        "Ventura",
        "Walker",
        "Winfield",
        "Yount",
        "Yzerman",
    ],
    variations: &[
        "'89 Back",
        "1st Edition",
        "Error",
        "Glossy",
        "Gold",
        "No Dot",
        "Photo Variation",
        "Printer's Proof",
        "Rainbow & Foil",
        "Red Back",
        "Refractor",
        "Rookie",
        "Short Print",
        "Silver",
        "Tiffany",
        "White Letters",
        "Wrong Name",
    ],
    numberings: &[
        Numbering::Plain,
        Numbering::Plain,
        Numbering::Plain,
        Numbering::Prefixed("SP-"),
        Numbering::Prefixed("RC-"),
        Numbering::OfTotal,
    ],
    widest_stride: 9,
};

pub(crate) static POKEMON: Vocabulary = Vocabulary {
    brands: &[
        "Base",
        "Black & White",
        "Diamond & Pearl",
        "EX",
        "Gold, Silver, to a New World",
        "Japanese Promo",
        "McDonald's Collection",
        "Mega Evolution",
        "Neo",
        "Scarlet & Violet",
        "Sun & Moon",
        "Sword & Shield",
        "Trainer's Toolkit",
        "XY",
        "ポケモンカードゲーム",
        "ワンピース×ポケモン",
    ],
    set_heads: &[
        "151",
        "Astral Radiance",
        "Brilliant Stars",
        "Celebrations",
        "Champion's Path",
        "Chilling Reign",
        "Cosmic Eclipse",
        "Crown Zenith",
        "Darkness Ablaze",
        "Evolving Skies",
        "Fossil",
        "Fusion Strike",
        "Hidden Fates",
        "Jungle",
        "Lost Origin",
        "Obsidian Flames",
        "Paldea Evolved",
        "Paradox Rift",
        "Prismatic Evolutions",
        "Rebel Clash",
        "Shining Fates",
        "Silver Tempest",
        "Team Rocket",
        "Temporal Forces",
        "Vivid Voltage",
        "スターバース",
        "ナイトワンダラー",
        "レイジングサーフ",
    ],
    set_tails: &[
        "",
        "Black Star Promos",
        "Elite Trainer Box",
        "Galarian Gallery",
        "Trainer Gallery",
        "プロモ",
    ],
    card_heads: CardHeads::Fixed(&[
        "Alakazam",
        "Arceus",
        "Blaine's Arcanine",
        "Blastoise",
        "Bulbasaur",
        "Celebi",
        "Charizard",
        "Charmander",
        "Clefairy",
        "Dark Raichu",
        "Dialga",
        "Ditto",
        "Dragonite",
        "Eevee",
        "Erika's Vileplume",
        "Espeon",
        "Farfetch'd",
        "Flabébé",
        "Garchomp",
        "Gardevoir",
        "Gengar",
        "Giovanni's Persian",
        "Giratina",
        "Greninja",
        "Gyarados",
        "Ho-Oh",
        "Jigglypuff",
        "Jolteon",
        "Kangaskhan",
        "Lapras",
        "Latias & Latios",
        "Lucario",
        "Lugia",
        "Machamp",
        "Magikarp",
        "Mew",
        "Mewtwo",
        "Mimikyu",
        "Misty's Psyduck",
        "Moltres & Zapdos",
        "Mr. Mime",
        "Ninetales",
        "Pikachu",
        "Porygon-Z",
        "Rayquaza",
        "Reshiram",
        "Rocket's Scyther",
        "Sirfetch'd",
        "Snorlax",
        "Squirtle",
        "Suicune",
        "Sylveon",
        "Tyranitar",
        "Umbreon",
        "Vaporeon",
        "Venusaur",
        "Zacian",
        "イーブイ",
        "ピカチュウ",
        "リザードン",
        "ルギア",
    ]),
    card_tails: &[
        "",
        "BREAK",
        "GX",
        "LV.X",
        "V",
        "VMAX",
        "VSTAR",
        "ex",
        "δ Delta Species",
    ],
    variations: &[
        "1st Edition",
        "1st Edition Shadowless",
        "Alternate Art",
        "Cosmos Holo",
        "Full Art",
        "Gold Star",
        "Holo",
        "Illustration Rare",
        "Master Ball",
        "Poké Ball",
        "Reverse Holo",
        "Secret Rare",
        "Shadowless",
        "Special & Rainbow",
        "Staff",
        "Stamped",
        "Unlimited",
        "マスターボールミラー",
    ],
    numberings: &[
        Numbering::OfTotal,
        Numbering::PaddedOfTotal,
        Numbering::PaddedOfTotal,
        Numbering::Plain,
        Numbering::Prefixed("TG"),
        Numbering::Prefixed("SV-P "),
    ],
    widest_stride: 2,
};

pub(crate) static ANIME: Vocabulary = Vocabulary {
    brands: &[
        "Booster",
        "Bushiroad",
        "Carddass",
        "Classic",
        "Extra Booster",
        "Premium Booster",
        "Promo",
        "Starter Deck",
        "Ultimate",
        "アニメ10周年",
        "ブースターパック",
    ],
    set_heads: &[
        "500 Years in the Future",
        "Awakening of the New Era",
        "Emperors in the New World",
        "Hatsune Miku",
        "Hololive Production",
        "Kingdoms of Intrigue",
        "Memorial Collection",
        "Pillars of Strength",
        "Re:ZERO Starting Life",
        "Romance Dawn",
        "Royal Blood",
        "Two Legends",
        "Wings of the Captain",
        "Zero Drive",
        "この素晴らしい世界に祝福を!",
        "五等分の花嫁",
        "新時代の主役",
    ],
    set_tails: &["", "Alternate Art", "Box Topper", "Winner's Pack"],
    card_heads: CardHeads::Fixed(&[
        "Boa Hancock",
        "Char Aznable",
        "Emilia",
        "Goku",
        "Gol D. Roger",
        "Gurimon",
        "Kakashi",
        "Kurisu Makise",
        "Megumin",
        "Miku Nakano",
        "Monkey D. Luffy",
        "Nami",
        "Nico Robin",
        "Portgas D. Ace",
        "Rem & Ram",
        "Roronoa Zoro",
        "Sanji",
        "Sasuke Uchiha",
        "Shanks",
        "Tony Tony Chopper",
        "Trafalgar Law",
        "Usopp's Kabuto",
        "Vegeta",
        "Yamato",
        "めぐみん",
        "初音ミク",
        "孫悟空",
        "星街すいせい",
    ]),
    card_tails: &["", "Leader", "SEC", "SP", "(Parallel)", "サイン"],
    variations: &[
        "Alternate Art",
        "Box Topper",
        "Foil",
        "Manga Art",
        "Parallel",
        "Pre-Release",
        "SP Signed",
        "Super & Special",
        "Treasure Rare",
        "Winner's Stamp",
        "サインパラレル",
        "箔押し",
    ],
    numberings: &[
        Numbering::Prefixed("OP01-"),
        Numbering::Prefixed("ST10-"),
        Numbering::Prefixed("W101-E"),
        Numbering::PaddedOfTotal,
    ],
    widest_stride: 4,
};

pub(crate) static FANTASY: Vocabulary = Vocabulary {
    brands: &[
        "Alpha",
        "Arabian Nights",
        "Beta",
        "Classic",
        "Duel Master's Guide",
        "Duelist League",
        "History Pack",
        "Legend of Blue Eyes",
        "Legends & Lore",
        "Mage's Guild",
        "Rise of the Floodborn",
        "Tournament Pack",
        "Unlimited",
        "Welcome to Rathe",
    ],
    set_heads: &[
        "Ancient Sanctuary",
        "Arcane Rising",
        "Battle of Chaos",
        "Crystal Revenge",
        "Dark Crisis",
        "Dominaria United",
        "Eternity Code",
        "Foundations",
        "Ghosts from the Past",
        "Into the Inklands",
        "Invasion of Chaos",
        "Kaladesh",
        "Light",
        "Magic Ruler",
        "Monarch",
        "Phantom Nightmare",
        "Pharaoh's Servant",
        "Quarter Century",
        "Shimmering Skies",
        "Sólring",
        "Tales of Aria",
        "Urza's Saga",
        "Zendikar",
    ],
    set_tails: &[
        "",
        "Blue",
        "Collector's Edition",
        "Extended & Borderless",
        "Promo",
        "Retro Frame",
    ],
    card_heads: CardHeads::Fixed(&[
        "Black Lotus",
        "Blue-Eyes",
        "Bravo",
        "Dark Magician",
        "Elsa",
        "Enchanted",
        "Exodia",
        "Fyendal's Spring",
        "Jace",
        "Jötun",
        "Kuriboh",
        "Liliana's",
        "Mickey Mouse",
        "Mox Jet",
        "Red-Eyes",
        "Séance",
        "Serra's",
        "Slifer",
        "Sol Ring",
        "Stardust",
        "Stitch",
        "Time Walk",
        "Urza's",
        "Winged Kuriboh",
    ]),
    card_tails: &[
        "",
        "& Sword",
        "Ancient Dragon",
        "Carefree Surfer",
        "Girl",
        "Guardian",
        "Tunic",
        "White Dragon",
        "the Forbidden One",
    ],
    variations: &[
        "1st Edition",
        "Cold Foil",
        "Collector's Rare",
        "Enchanted",
        "Extended Art",
        "Foil",
        "Ghost Rare",
        "Misprint & Error",
        "Rainbow Foil",
        "Secret Rare",
        "Showcase",
        "Starlight Rare",
        "Ultimate Rare",
        "Unlimited",
    ],
    numberings: &[
        Numbering::Plain,
        Numbering::Prefixed("LOB-"),
        Numbering::Prefixed("SDY-EN"),
        Numbering::OfTotal,
    ],
    widest_stride: 5,
};

pub(crate) static COMICS: Vocabulary = Vocabulary {
    brands: &[
        "Classic",
        "Fleer Ultra",
        "Impel",
        "Marvel Annual",
        "Marvel Masterpieces",
        "Marvel Universe",
        "Metal Universe",
        "Series 1",
        "SkyBox",
        "Topps",
        "Topps' Galaxy",
        "Upper Deck",
        "X-Men & Avengers",
    ],
    set_heads: &[
        "Avatars of the Multiverse",
        "Black",
        "Fleer",
        "Gold",
        "Holograms",
        "Light",
        "Precious Metal Gems",
        "Red",
        "Retro",
        "Spectrum",
        "Suspended Animation",
        "Villains & Heroes",
    ],
    set_tails: &["", "Blue", "Die-Cut", "Foil", "Hero's Journey", "Ultra"],
    card_heads: CardHeads::Fixed(&[
        "Adam Bomb",
        "Batman",
        "Black Panther",
        "Captain America",
        "Cloak & Dagger",
        "Darth Vader",
        "Deadpool",
        "Doctor Strange",
        "Gambit",
        "Green Goblin",
        "Hulk",
        "Ka-Zar",
        "Loki's",
        "Luke Skywalker",
        "Magneto",
        "Ms. Marvel",
        "Namor",
        "Nasty Nick",
        "Rogue",
        "Señor Muerte",
        "Silver Surfer",
        "Spider-Man",
        "Storm",
        "Thanos",
        "Venom",
        "Wolverine",
        "X-23",
    ]),
    card_tails: &["", "& Friends", "/ Alter Ego", "First Appearance", "vs. Everyone"],
    variations: &[
        "Artist's Proof",
        "Blue Foil",
        "Error",
        "Gold Signature",
        "Hologram",
        "Purple",
        "Red",
        "Refractor",
        "Sketch & Signature",
        "Unpeeled",
    ],
    numberings: &[
        Numbering::Plain,
        Numbering::Prefixed("H-"),
        Numbering::Prefixed("SP-"),
        Numbering::OfTotal,
    ],
    widest_stride: 7,
};

/// What a careless reader, address builder or spreadsheet trips over. Shown only when asked for.
pub(crate) static HOSTILE: Vocabulary = Vocabulary {
    brands: &[
        "\"Quoted\" & 'Single'",
        "<b>Bold</b>",
        "=HYPERLINK(\"http://localhost.invalid\")",
        "🃏 Emoji",
    ],
    set_heads: &[
        "'; DROP TABLE sets; --",
        "100% #1?",
        "</td></tr></table>",
        "a\\b",
        "\u{202e}desrever",
    ],
    set_tails: &["", "&amp;"],
    card_heads: CardHeads::Hostile,
    card_tails: &[""],
    variations: &[
        "\tTab",
        "\"onmouseover=alert(1)",
        "&lt;i&gt;",
        "../..",
        "<i>Italic</i>",
        "bell\u{7}",
        "é e\u{301}",
        "שלום",
    ],
    numberings: &[Numbering::Prefixed("<#>"), Numbering::Prefixed("%2F/")],
    widest_stride: 1,
};

/// Length in characters of the longest hostile card name.
pub const LONGEST_NAME: usize = 10_000;

static HOSTILE_NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    static LONGEST: LazyLock<String> =
        LazyLock::new(|| "Longest name ".chars().cycle().take(LONGEST_NAME).collect());
    vec![
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "it's \"quoted\"",
        "control\u{1}\u{1f} characters",
        "two\nlines\tand a tab",
        "👩‍👩‍👧 family",
        "مرحبا بالعالم",
        "\u{202e}evil override",
        "%2e%2e%2f%252F",
        "a/b\\c?d=e&f#g",
        "=1+1",
        "{{7*7}} ${7*7}",
        LONGEST.as_str(),
    ]
});

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> [&'static Vocabulary; 6] {
        [&SPORT, &POKEMON, &ANIME, &FANTASY, &COMICS, &HOSTILE]
    }

    fn assert_ascending(texts: &[String]) {
        for pair in texts.windows(2) {
            assert!(pair[0] < pair[1], "{:?} must stand before {:?}", pair[1], pair[0]);
        }
    }

    #[test]
    fn brands_set_names_and_variations_ascend() {
        for words in all() {
            assert_ascending(&words.brands.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_ascending(
                &words
                    .variations
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>(),
            );
            let names: Vec<String> = (0..=words.set_names())
                .map(|index| words.set_name(index as u16).to_string())
                .collect();
            assert_ascending(&names);
        }
    }

    #[test]
    fn card_names_are_distinct_and_no_name_has_outer_spaces() {
        for words in all() {
            let names: std::collections::BTreeSet<String> = (0..words.card_names())
                .map(|index| words.card_name(index).to_string())
                .collect();
            assert_eq!(names.len() as u32, words.card_names());
            assert!(
                names
                    .iter()
                    .all(|name| name.trim() == name || name.len() >= LONGEST_NAME),
                "{names:?}"
            );
        }
    }

    #[test]
    fn words_read_only_their_own_text() {
        let name = Words::joined("Light", "Blue");
        assert!(name.read("Light Blue"));
        assert!(!name.read("Light Blue "));
        assert!(!name.read("LightBlue"));
        assert!(Words::NONE.read("") && Words::NONE.is_empty());
    }

    #[test]
    fn the_longest_name_has_its_length() {
        assert!(
            HOSTILE_NAMES
                .iter()
                .any(|name| name.chars().count() == LONGEST_NAME)
        );
    }
}

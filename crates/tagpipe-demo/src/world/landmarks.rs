//! The rows that stand in every world, whatever its seed and size.
//!
//! Each landmark is the first row of its set. Real certificates that the public knows keep their numbers, so
//! that a reader can be checked against facts, and one card always has more certificates than a table page.

use super::calendar::Day;

/// A certificate that is fixed in advance.
#[derive(Debug)]
pub(crate) struct KnownCertificate {
    pub(crate) number: &'static str,
    pub(crate) grade: &'static str,
    pub(crate) completed_on: Day,
}

/// What is special about a landmark's certificates.
#[derive(Debug)]
pub(crate) enum LandmarkCertificates {
    /// Exactly these, at every epoch.
    Known(&'static [KnownCertificate]),
    /// At least this many, made like any other card's.
    AtLeast(u32),
}

/// A card that stands in every world.
#[derive(Debug)]
pub(crate) struct Landmark {
    pub(crate) category: &'static str,
    pub(crate) year: u16,
    pub(crate) brand: &'static str,
    pub(crate) number: u32,
    pub(crate) name: &'static str,
    pub(crate) certificates: LandmarkCertificates,
}

/// All landmarks; their sets are base products.
pub(crate) static LANDMARKS: [Landmark; 3] = [
    Landmark {
        category: "Baseball",
        year: 1989,
        brand: "Donruss",
        number: 53,
        name: "Gary Carter",
        certificates: LandmarkCertificates::Known(&[KnownCertificate {
            number: "X3032464",
            grade: "8.5",
            completed_on: Day::from_ymd(2023, 11, 21),
        }]),
    },
    Landmark {
        category: "Hockey",
        year: 1989,
        brand: "Topps",
        number: 1,
        name: "Mario Lemieux",
        certificates: LandmarkCertificates::Known(&[
            KnownCertificate {
                number: "T1352175",
                grade: "8.5",
                completed_on: Day::from_ymd(2025, 8, 20),
            },
            KnownCertificate {
                number: "P2848695",
                grade: "8",
                completed_on: Day::from_ymd(2025, 8, 20),
            },
        ]),
    },
    Landmark {
        category: "Pokémon",
        year: 2021,
        brand: "Sword & Shield",
        number: 27,
        name: "Farfetch'd",
        certificates: LandmarkCertificates::AtLeast(232),
    },
];

/// Every certificate number that is fixed in advance.
pub(crate) fn known_numbers() -> impl Iterator<Item = &'static str> {
    LANDMARKS
        .iter()
        .flat_map(|landmark| match landmark.certificates {
            LandmarkCertificates::Known(known) => known,
            LandmarkCertificates::AtLeast(_) => &[],
        })
        .map(|known| known.number)
}

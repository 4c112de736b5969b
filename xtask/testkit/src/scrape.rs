//! The exposition, read as a scraper does.

use std::collections::BTreeMap;

/// Values by series, as written: `name{label="value"}`, without the prefix.
#[derive(Clone)]
pub struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    /// Reads the text format.
    ///
    /// # Panics
    /// If it has a series twice, or something that is no number.
    pub fn parse(text: &str) -> Self {
        let series = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let read = |line: &str| {
            let (name, value) = line.rsplit_once(' ').expect("name and value");
            let name = name.strip_prefix("digital_actors_").unwrap_or(name).to_owned();
            (name, value.parse().expect("number"))
        };
        let mut values = BTreeMap::new();
        for line in series {
            let (name, value) = read(line);
            assert!(values.insert(name, value).is_none(), "twice: {line}");
        }
        Self(values)
    }

    /// The value of one series, which must be there.
    pub fn get(&self, series: &str) -> f64 {
        *self.0.get(series).unwrap_or_else(|| panic!("no {series}"))
    }

    /// Every series that there is.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The sum over every series of a family.
    pub fn sum(&self, family: &str) -> f64 {
        let of_family = |name: &str| name == family || name.starts_with(&format!("{family}{{"));
        self.0.iter().filter(|(name, _)| of_family(name)).map(|(_, value)| value).sum()
    }

    /// `requests_total` of a scene, by status.
    pub fn requests(&self, scene: &str, status: &str) -> f64 {
        let has =
            |name: &str, label: &str, value: &str| name.contains(&format!("{label}=\"{value}\""));
        let matches = |name: &&String| {
            name.starts_with("requests_total{")
                && has(name, "scene", scene)
                && has(name, "status", status)
        };
        self.0.iter().filter(|(name, _)| matches(name)).map(|(_, value)| value).sum()
    }

    /// `errors_total`
    pub fn errors(&self, error_type: &str) -> f64 {
        self.get(&format!("errors_total{{error_type=\"{error_type}\"}}"))
    }

    /// `websocket_closes_total`
    pub fn closes(&self, reason: &str) -> f64 {
        self.get(&format!("websocket_closes_total{{reason=\"{reason}\"}}"))
    }

    /// How many queries of this kind there were.
    pub fn queries(&self, operation: &str) -> f64 {
        self.get(&format!("db_query_time_seconds_count{{operation=\"{operation}\"}}"))
    }
}

/// What is not 0, and no buckets: for people who read why a test failed.
impl std::fmt::Debug for Scrape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let told = |(name, value): &(&String, &f64)| **value != 0.0 && !name.contains("_bucket{");
        f.debug_map().entries(self.0.iter().filter(told)).finish()
    }
}

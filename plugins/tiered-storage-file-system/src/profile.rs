//! Hadoop's configuration files: `<configuration><property><name/><value/><final/></property>…</configuration>`.
//!
//! As in Hadoop, a later file wins over an earlier one, except for a property that an earlier one declared final, and
//! `${name}` in a value stands for another property. What Hadoop would take from the Java process (system properties, the
//! environment) stays as it is written.

use std::collections::{BTreeMap, BTreeSet};

/// Expansions of `${…}` that one value may need; a value that goes on is a circle.
const EXPANSIONS_MAX: usize = 20;

/// The properties of one or more configuration files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    values: BTreeMap<String, String>,
    finals: BTreeSet<String>,
}

impl Profile {
    /// Adds the properties of one more file.
    ///
    /// # Errors
    /// What is wrong with the XML, with line and column.
    pub(crate) fn add(&mut self, xml: &str) -> Result<(), String> {
        let document = roxmltree::Document::parse(xml).map_err(|e| format!("not well-formed XML: {e}"))?;
        let root = document.root_element();
        if root.tag_name().name() != "configuration" {
            return Err(format!("its outermost element is <{}>, expected <configuration>", root.tag_name().name()));
        }
        if root.children().any(|node| node.tag_name().name() == "include") {
            return Err("it includes another file: name that one in fileSystemProfilePath as well".to_owned());
        }
        for property in root.children().filter(|node| node.has_tag_name("property")) {
            let text = |tag: &str| {
                let child = property.children().find(|node| node.has_tag_name(tag));
                child.map(|node| node.text().unwrap_or_default().trim().to_owned())
            };
            let Some(name) = text("name").filter(|name| !name.is_empty()) else {
                let at = document.text_pos_at(property.range().start);
                return Err(format!("the <property> at {at} has no <name>"));
            };
            if self.finals.contains(&name) {
                continue;
            }
            if text("final").is_some_and(|text| text == "true") {
                self.finals.insert(name.clone());
            }
            if let Some(value) = text("value") {
                self.values.insert(name, value);
            }
        }
        Ok(())
    }

    /// The names of all properties.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// The value of a property, expanded, or `None` where it is absent or empty.
    ///
    /// # Errors
    /// The value expands for ever.
    pub(crate) fn get(&self, name: &str) -> Result<Option<String>, String> {
        let Some(value) = self.values.get(name) else { return Ok(None) };
        let mut value = value.clone();
        for _ in 0..EXPANSIONS_MAX {
            let Some((range, replacement)) = self.first_known_variable(&value) else {
                return Ok(Some(value).filter(|value| !value.is_empty()));
            };
            value.replace_range(range, replacement);
        }
        Err(format!("the value of {name} refers to itself"))
    }

    fn first_known_variable(&self, value: &str) -> Option<(std::ops::Range<usize>, &str)> {
        let starts = value.match_indices("${").map(|(start, _)| start);
        starts.into_iter().find_map(|start| {
            let len = value[start..].find('}')?;
            let replacement = self.values.get(&value[start + 2..start + len])?;
            Some((start..start + len + 1, replacement.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(files: &[&str]) -> Profile {
        let mut profile = Profile::default();
        for properties in files {
            profile.add(&format!("<?xml version=\"1.0\"?><configuration>{properties}</configuration>")).unwrap();
        }
        profile
    }

    fn property(name: &str, value: &str, rest: &str) -> String {
        format!("<property><name>{name}</name><value> {value} </value>{rest}</property>")
    }

    #[test]
    fn a_later_file_wins_except_over_final() {
        let first = property("a", "1", "<final>true</final>") + &property("b", "1", "");
        let second = property("a", "2", "") + &property("b", "2", "<description>why</description>");
        let profile = profile(&[&first, &second]);
        assert_eq!(profile.get("a"), Ok(Some("1".to_owned())));
        assert_eq!(profile.get("b"), Ok(Some("2".to_owned())));
        assert_eq!(profile.get("c"), Ok(None));
    }

    #[test]
    fn variables_are_expanded_unknown_ones_stay_and_circles_end() {
        let file = [
            property("base", "/tier", ""),
            property("full", "${base}/x/${base}", ""),
            property("outside", "/tmp/${user.name}", ""),
            property("circle", "a${circle}", ""),
            property("empty", "", ""),
        ];
        let profile = profile(&[&file.concat()]);
        assert_eq!(profile.get("full"), Ok(Some("/tier/x//tier".to_owned())));
        assert_eq!(profile.get("outside"), Ok(Some("/tmp/${user.name}".to_owned())));
        assert!(profile.get("circle").unwrap_err().contains("circle"));
        assert_eq!(profile.get("empty"), Ok(None));
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        let mut profile = Profile::default();
        assert!(profile.add("<configuration>").unwrap_err().contains("not well-formed"));
        assert!(profile.add("<config/>").unwrap_err().contains("expected <configuration>"));
        let include = "<configuration xmlns:xi=\"urn:x\"><xi:include href=\"a.xml\"/></configuration>";
        assert!(profile.add(include).unwrap_err().contains("includes another file"));
        let nameless = "<configuration>\n<property><value>1</value></property></configuration>";
        assert!(profile.add(nameless).unwrap_err().contains("at 2:1 has no <name>"));
    }
}

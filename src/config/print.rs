//! The effective configuration as TOML.

use std::fmt::Write;

use super::Config;
use super::keys::{Section, Visitor};
use super::value::Setting;

pub(super) fn to_toml(config: &Config) -> String {
    let mut printer = Printer { out: String::new() };
    config.clone().visit(&mut printer);
    printer.out
}

struct Printer {
    out: String,
}

impl Printer {
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.out.write_fmt(text);
    }
}

impl Visitor for Printer {
    fn section(&mut self, name: &'static str) {
        self.put(format_args!("\n[{name}]\n"));
    }

    fn key<T: Setting>(&mut self, name: &'static str, value: &mut T) {
        if let Some(value) = value.write() {
            let quote = if name.contains('.') { "\"" } else { "" };
            self.put(format_args!("{quote}{name}{quote} = {value}\n"));
        }
    }

    fn tables<T: Section>(&mut self, name: &'static str, items: &mut Vec<T>) {
        for item in items {
            self.put(format_args!("\n[[{name}]]\n"));
            item.visit(self);
        }
    }
}

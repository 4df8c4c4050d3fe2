//! Whatever stands in config.toml: a configuration or errors, never a panic.
#![no_main]

use postrider::config::Config;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(config) = Config::load(None, text, std::iter::empty()) {
        let printed = config.to_toml();
        assert_eq!(Config::load(None, &printed, std::iter::empty()).as_ref(), Ok(&config), "{printed}");
    }
});

//! The table at the end: what was measured, beside what, and whether it is good enough.

pub struct Row {
    pub figure: String,
    pub measured: String,
    pub reference: String,
    pub ratio: String,
    pub bar: String,
    /// `None` where the bar is a wish without a number.
    pub holds: Option<bool>,
}

#[derive(Default)]
pub struct Table(Vec<Row>);

impl Table {
    pub fn add(&mut self, row: Row) {
        eprintln!("  {}: {} ({}, ratio {})", row.figure, row.measured, row.reference, row.ratio);
        self.0.push(row);
    }

    pub fn print(&self) {
        if self.0.is_empty() {
            return;
        }
        println!("\n| figure | measured | reference, same run | ratio | bar | |");
        println!("|---|---|---|---|---|---|");
        for row in &self.0 {
            let verdict = match row.holds {
                Some(true) => "holds",
                Some(false) => "**misses**",
                None => "",
            };
            let Row { figure, measured, reference, ratio, bar, .. } = row;
            println!("| {figure} | {measured} | {reference} | {ratio} | {bar} | {verdict} |");
        }
    }
}

/// The middle one, or the upper of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get(((sorted.len() as f64 * part) as usize).min(last)).copied().unwrap_or(f64::NAN)
}

/// `12345.6` as `12 300`: three digits that mean something.
pub fn round(value: f64) -> String {
    let unit = 10f64.powi((value.abs().max(1.0).log10().floor() as i32 - 2).max(0));
    let digits = format!("{:.0}", (value / unit).round() * unit);
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

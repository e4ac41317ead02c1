//! Figures as people write them.

/// What an expression of the code says, in words; what is no plain arithmetic stays as it is.
pub(super) fn shown(expression: &str) -> String {
    const UNITS: [(&str, u128); 3] = [("from_secs(", 1_000_000), ("from_millis(", 1000), ("from_micros(", 1)];
    if let Some(time) = expression.strip_prefix("Duration::") {
        let micros = UNITS
            .iter()
            .find_map(|(unit, micros)| Some(evaluate(time.strip_prefix(unit)?.strip_suffix(')')?)? * micros));
        return micros.map_or_else(|| code(expression), time_shown);
    }
    match evaluate(expression) {
        Some(number) if expression.contains("<<") || expression.contains("1024") => binary(number),
        Some(number) => grouped(number),
        None => code(expression),
    }
}

fn code(expression: &str) -> String {
    format!("`{expression}`")
}

fn time_shown(micros: u128) -> String {
    const STEPS: [(u128, &str); 5] =
        [(3_600_000_000, "h"), (60_000_000, "min"), (1_000_000, "s"), (1000, "ms"), (1, "µs")];
    let (step, unit) = STEPS.iter().find(|(step, _)| micros.is_multiple_of(*step)).unwrap_or(&STEPS[4]);
    format!("{} {unit}", micros / step)
}

fn binary(number: u128) -> String {
    let steps = [(1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
    let step = steps.iter().find(|(step, _)| number >= *step && number.is_multiple_of(*step));
    step.map_or_else(|| grouped(number), |(step, unit)| format!("{} {unit}", grouped(number / step)))
}

fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Sums of products of shifted numbers without parentheses, as Rust binds them.
fn evaluate(expression: &str) -> Option<u128> {
    if let Some((left, right)) = expression.rsplit_once(" << ") {
        return evaluate(left)?.checked_shl(u32::try_from(evaluate(right)?).ok()?);
    }
    expression.split(" + ").try_fold(0u128, |sum, product| {
        let product = product.split(" * ").try_fold(1u128, |product, factor| {
            product.checked_mul(factor.trim().replace('_', "").parse().ok()?)
        })?;
        sum.checked_add(product)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_worked_out() {
        assert_eq!(shown("16_384"), "16,384");
        assert_eq!(shown("8192 + 32"), "8,224");
        assert_eq!(shown("64 * 1024 * 1024"), "64 Mi");
        assert_eq!(shown("(256 << 10, 4 << 20)"), "`(256 << 10, 4 << 20)`");
        assert_eq!(shown("1 << 21"), "2 Mi");
        assert_eq!(shown("Duration::from_secs(30 * 60)"), "30 min");
        assert_eq!(shown("Duration::from_millis(1500)"), "1500 ms");
        assert_eq!(shown("MAX_KNOWN_PEERS / 20"), "`MAX_KNOWN_PEERS / 20`");
    }
}

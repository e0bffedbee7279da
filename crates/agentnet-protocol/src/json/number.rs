//! Doubles as Python writes them (PROTOCOL.md section 4.3).

/// The double that a JSON float literal means; beyond the range it is infinite.
pub(super) fn parse(text: &str) -> f64 {
    match text {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        // The scanner has checked the grammar, which is a subset of what `f64` reads.
        _ => text.parse().unwrap_or(f64::NAN),
    }
}

/// The JSON text of a double: shortest digits that read back the same, laid out as Python does; `NaN`, `Infinity` and
/// `-Infinity` where JSON has no number.
#[must_use]
pub fn float_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    finite(value)
}

/// Python's `str(float)`: as the JSON text, but `nan`, `inf`, `-inf`.
pub(super) fn python_str(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    finite(value)
}

/// The shortest digits that read back the same, as d[.ddd]e<exponent>.
fn shortest(value: f64) -> String {
    let shortest = format!("{value:e}");
    let digits = shortest
        .bytes()
        .take_while(|&byte| byte != b'e')
        .filter(u8::is_ascii_digit);
    let count = digits.count();
    // Of 16 digits or more, two decimals may be equally near to the value: Python takes the even one, `{:e}` the larger one.
    if count < 16 {
        return shortest;
    }
    let nearest = format!("{value:.*e}", count - 1);
    if nearest.parse() == Ok(value) {
        nearest
    } else {
        shortest
    }
}

fn finite(value: f64) -> String {
    let scientific = shortest(value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if !(-4..16).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let mark = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{first}{point}{rest}e{mark}{:02}", exponent.unsigned_abs());
    }
    if exponent < 0 {
        let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
        return format!("{sign}0.{zeros}{digits}");
    }
    let whole = exponent.unsigned_abs() as usize + 1;
    if digits.len() <= whole {
        let zeros = "0".repeat(whole - digits.len());
        return format!("{sign}{digits}{zeros}.0");
    }
    let (integer, fraction) = digits.split_at(whole);
    format!("{sign}{integer}.{fraction}")
}

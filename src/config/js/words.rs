//! The engine's messages in the words that a user of Node knows.

use std::borrow::Cow;

/// A limit of the engine's.
pub(super) const TOO_DEEP: &str = "Regular expression is too deeply nested";

/// V8's words for what no program has.
const NO_TOKEN: &str = "Invalid or unexpected token";

/// The engine's words as V8 has them, where no place is needed to say more.
pub(super) fn in_v8s_words(bare: &str) -> Option<Cow<'static, str>> {
    let fixed = match bare {
        "class constructor cannot be invoked without 'new'" => "Class constructor cannot be invoked without 'new'",
        "superclass must be a constructor" => "Class extends value is not a constructor or null",
        "right-hand side of 'instanceof' is not callable" => "Right-hand side of 'instanceof' is not callable",
        "not a callable function" => "the called value is not a function",
        "not a constructor" => "the called value is not a constructor",
        "radix must be an integer at least 2 and no greater than 36" => {
            "toString() radix argument must be between 2 and 36"
        }
        "abrupt end" => "Unexpected end of input",
        "cyclic object value" => "Converting circular structure to JSON",
        "cannot serialize bigint to JSON" => "Do not know how to serialize a BigInt",
        "invalid array length" | "Invalid array length" => "Invalid array length",
        "String.prototype.repeat: count must be non-negative" => "Invalid count value",
        "cannot mix BigInt and other types, use explicit conversions" => {
            "Cannot mix BigInt and other types, use explicit conversions"
        }
        "can't convert symbol to string" | "cannot convert symbol to string" => {
            "Cannot convert a Symbol value to a string"
        }
        "argument must not be a symbol" | "cannot convert symbol to number" => {
            "Cannot convert a Symbol value to a number"
        }
        "cannot convert object to primitive value" => "Cannot convert object to primitive value",
        "argument must not be a bigint" => "Cannot convert a BigInt value to a number",
        "Object.defineProperty: expected 'this' to be an Object" => "Object.defineProperty called on non-object",
        "invalid escape character found" | "invalid UTF-8 encoding found" => "URI malformed",
        "cannot get key and value from primitive item of `iterable`" => "Iterator value is not an entry object",
        "Private element does not exist on object" => {
            "Cannot read private member from an object whose class did not declare it"
        }
        "Proxy constructor called with non-object target" | "Proxy constructor called with non-object handler" => {
            "Cannot create proxy with a non-object as target or handler"
        }
        "Cannot destructure 'undefined' value" => "Cannot destructure 'undefined' as it is undefined.",
        "Cannot destructure 'null' value" => "Cannot destructure 'null' as it is null.",
        "cannot convert null or undefined to Object" | "cannot convert 'null' or 'undefined' to object" => {
            "Cannot convert undefined or null to object"
        }
        _ => return changing(bare).map(Cow::Owned),
    };
    Some(Cow::Borrowed(fixed))
}

/// Whether a message is in the engine's own words.
pub(super) fn is_engines(bare: &str) -> bool {
    let placed = ["access of uninitialized binding", "cannot mutate an immutable binding"];
    in_v8s_words(bare).is_some_and(|said| said != bare) || placed.iter().any(|said| bare.starts_with(said))
}

/// Messages that hold a name or a kind.
fn changing(bare: &str) -> Option<String> {
    let between = |before: &str, after: &str| bare.strip_prefix(before)?.strip_suffix(after);
    if let Some(kind) = between("value with type `", "` is not iterable") {
        return Some(format!("{kind} is not iterable"));
    }
    if let Some(name) = between("cannot assign to uninitialized global property `", "`") {
        return Some(format!("{name} is not defined"));
    }
    if let Some(name) = between("cannot assign to uninitialized binding `", "`") {
        return Some(format!("Cannot access '{name}' before initialization"));
    }
    if let Some(name) = bare.strip_prefix("cannot set non-writable property: ") {
        return Some(format!("Cannot assign to read only property '{name}' of object"));
    }
    if let Some(text) = between("cannot convert string '", "' to bigint primitive") {
        return Some(format!("Cannot convert {text} to a BigInt"));
    }
    if let Some(number) = between("cannot convert ", " to a BigInt") {
        let why = "cannot be converted to a BigInt because it is not an integer";
        return Some(format!("The number {number} {why}"));
    }
    if let Some(kind) = between("right-hand side of 'in' should be an object, got `", "`") {
        return Some(format!("Cannot use 'in' operator to search for a key in a {kind}"));
    }
    if bare.starts_with("right-hand side of 'instanceof' should be an object") {
        return Some("Right-hand side of 'instanceof' is not an object".to_owned());
    }
    if bare.contains("called on an empty array and with no initial value") {
        return Some("Reduce of empty array with no initial value".to_owned());
    }
    if let Some(problem) = bare.strip_prefix("failed to create matcher: ") {
        return Some(format!("Invalid regular expression: {}", of_pattern(problem)));
    }
    if let Some(flag) = bare.strip_prefix("invalid regular expression flag ") {
        return Some(format!("Invalid flags supplied to RegExp constructor '{flag}'"));
    }
    if bare.starts_with("Object.create: expected 'proto' to be an Object or null") {
        return Some("Object prototype may only be an Object or null".to_owned());
    }
    if let Some(number) = between("codepoint `", "` outside of Unicode range") {
        return Some(format!("Invalid code point {number}"));
    }
    if let Some(kind) = between("`", "` is not callable") {
        return Some(format!("{kind} is not a function"));
    }
    if bare.starts_with("WeakMap.set: expected target argument") {
        return Some("Invalid value used as weak map key".to_owned());
    }
    let callback = bare.to_ascii_lowercase();
    let lacks = [
        "invalid callback function",
        "callbackfn is not callable",
        "callback is not callable",
        "callback function is not callable",
    ];
    lacks.iter().any(|said| callback.contains(said)).then(|| "the callback is not a function".to_owned())
}

/// What is wrong with a regular expression.
fn of_pattern(problem: &str) -> &str {
    match problem {
        "Unbalanced parenthesis" => "Unterminated group",
        "Unbalanced bracket" => "Unterminated character class",
        "Invalid atom character" | "Quantifier not allowed here" => "Nothing to repeat",
        "Invalid character range" => "Range out of order in character class",
        "Invalid quantifier" => "numbers out of order in {} quantifier",
        "Invalid braced quantifier" => "Incomplete quantifier",
        "Invalid character escape" => "Invalid escape",
        "Incomplete escape" => "\\ at end of pattern",
        "Invalid group modifier" => "Invalid group",
        "Invalid named backreference syntax" => "Invalid named reference",
        "Invalid token at named capture group identifier" => "Invalid capture group name",
        "Invalid unicode escape" => "Invalid Unicode escape",
        TOO_DEEP => "Regular expression is too deeply nested: pmrun's own engine reads 256 levels",
        _ => problem,
    }
}

/// A syntax error as V8 words it, where the engine's own words, which a person has
/// been given in `reworded`, say no more than V8's. The pattern is the literal that is wrong, if it is one.
pub(super) fn of_syntax(text: &str, reworded: &str, pattern: Option<&str>) -> String {
    if let Some(problem) = text.strip_prefix("Invalid regular expression literal: ") {
        let pattern = pattern.map_or(String::new(), |pattern| format!("{pattern}: "));
        return format!("Invalid regular expression: {pattern}{}", of_pattern(problem));
    }
    if text.contains("regular expression flag") {
        return "Invalid regular expression flags".to_owned();
    }
    let mut marked = reworded.strip_prefix("unexpected '").unwrap_or_default().chars();
    if marked.next().is_some() && marked.as_str() == "'" {
        return NO_TOKEN.to_owned();
    }
    let fixed = match reworded {
        "Abrupt end: Expecting private identifier" => NO_TOKEN,
        "unexpected `await`" | "invalid await usage" => {
            "await is only valid in async functions and the top level bodies of modules"
        }
        "unexpected `return`" => "Illegal return statement",
        "Expected initializer for const declaration" => "Missing initializer in const declaration",
        "invalid new.target usage" => "new.target expression is not allowed here",
        "invalid super usage" | "module cannot contain `super` on the top-level" => "'super' keyword unexpected here",
        "with statement not allowed in strict mode" => "Strict mode code may not include a with statement",
        "'let' is disallowed as a lexically bound name" => "let is disallowed as a lexically bound name",
        "rest parameter must be last formal parameter" => "Rest parameter must be last formal parameter",
        "a class may only have one constructor" => "A class may only have one constructor",
        "implicit octal literals are not allowed in strict mode" => "Octal literals are not allowed in strict mode.",
        "leading 0's are not allowed in strict mode" => "Decimals with leading zeros are not allowed in strict mode.",
        "a numeric literal must not be followed by an alphanumeric, $ or _ characters" => {
            "Invalid or unexpected token: a name follows a number"
        }
        "invalid `import.meta` expression outside a module" => "Cannot use 'import.meta' outside a module",
        _ => reworded,
    };
    fixed.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_v8s() {
        let table = [
            ("cyclic object value", Some("Converting circular structure to JSON")),
            ("value with type `number` is not iterable", Some("number is not iterable")),
            ("cannot set non-writable property: a", Some("Cannot assign to read only property 'a' of object")),
            (
                "failed to create matcher: Unbalanced parenthesis",
                Some("Invalid regular expression: Unterminated group"),
            ),
            ("Array.prototype.map: Callbackfn is not callable", Some("the callback is not a function")),
            ("cannot assign to uninitialized global property `x`", Some("x is not defined")),
            ("set STAGE first", None),
        ];
        for (bare, want) in table {
            assert_eq!(in_v8s_words(bare).as_deref(), want, "{bare}");
        }
    }
}

//! Keys of session data: exact ones, and dotted paths into nested objects.

use serde_json::{Map, Value};

/// Steps of the longest path; a key with more is taken as it is.
const MAX_STEPS: usize = 32;

/// The steps of a path, the last one apart. None for a key that is no path: without a dot, with an empty step, or too long.
fn steps(key: &str) -> Option<(Vec<&str>, &str)> {
    let mut steps: Vec<&str> = key.split('.').collect();
    if steps.len() < 2 || steps.len() > MAX_STEPS || steps.contains(&"") {
        return None;
    }
    let last = steps.pop()?;
    Some((steps, last))
}

/// Whether a key that is not there itself leads into objects.
pub(super) fn is_path(key: &str) -> bool {
    key.contains('.') && steps(key).is_some()
}

pub(super) fn get<'a>(data: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    find(|key| data.get(key), key)
}

/// The same where `first` is what finds a value of the outermost object.
pub(super) fn find<'a>(first: impl Fn(&str) -> Option<&'a Value>, key: &str) -> Option<&'a Value> {
    if let Some(value) = first(key) {
        return Some(value);
    }
    let (parents, last) = steps(key)?;
    let mut parents = parents.into_iter();
    let mut at = first(parents.next()?)?;
    for step in parents.chain([last]) {
        at = at.as_object()?.get(step)?;
    }
    Some(at)
}

/// True when the value is another one than before.
pub(super) fn set(data: &mut Map<String, Value>, key: &str, value: Value) -> bool {
    if get(data, key) == Some(&value) {
        return false;
    }
    match steps(key) {
        Some((parents, last)) if !data.contains_key(key) => {
            let parent = parents
                .into_iter()
                .fold(data, |at, step| object_at(at, step));
            parent.insert(last.to_owned(), value);
        }
        _ => {
            data.insert(key.to_owned(), value);
        }
    }
    true
}

/// True when there was a value.
pub(super) fn unset(data: &mut Map<String, Value>, key: &str) -> bool {
    if data.shift_remove(key).is_some() {
        return true;
    }
    let Some((parents, last)) = steps(key) else {
        return false;
    };
    let mut at = data;
    for step in parents {
        match at.get_mut(step) {
            Some(Value::Object(next)) => at = next,
            _ => return false,
        }
    }
    at.shift_remove(last).is_some()
}

fn object_at<'a>(parent: &'a mut Map<String, Value>, step: &str) -> &'a mut Map<String, Value> {
    let slot = parent
        .entry(step)
        .or_insert_with(|| Value::Object(Map::new()));
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    match slot {
        Value::Object(map) => map,
        _ => unreachable!("the slot was just made an object"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn an_exact_key_wins_over_a_path() {
        let mut data = map(json!({"a.b": 1, "a": {"b": 2, "c": 3}}));
        assert_eq!(get(&data, "a.b"), Some(&json!(1)));
        assert_eq!(get(&data, "a.c"), Some(&json!(3)));
        assert!(set(&mut data, "a.b", json!(9)));
        assert_eq!(
            Value::from(data.clone()),
            json!({"a.b": 9, "a": {"b": 2, "c": 3}})
        );
        assert!(unset(&mut data, "a.b"));
        assert_eq!(get(&data, "a.b"), Some(&json!(2)));
        assert!(unset(&mut data, "a.b"));
        assert!(!unset(&mut data, "a.b"));
        assert_eq!(Value::from(data), json!({"a": {"c": 3}}));
    }

    #[test]
    fn a_path_makes_objects_and_replaces_what_is_in_the_way() {
        let mut data = map(json!({"x": 1}));
        assert!(set(&mut data, "x.y.z", json!(true)));
        assert!(!set(&mut data, "x.y.z", json!(true)));
        assert_eq!(Value::from(data), json!({"x": {"y": {"z": true}}}));
    }

    #[test]
    fn what_is_no_path_is_a_key() {
        let long = vec!["a"; 200].join(".");
        for key in ["", ".", "a.", ".a", "a..b", &long] {
            let mut data = Map::new();
            assert!(set(&mut data, key, json!(1)), "{key}");
            assert_eq!(data.keys().collect::<Vec<_>>(), [key]);
            assert_eq!(get(&data, key), Some(&json!(1)));
            assert!(unset(&mut data, key));
        }
    }

    #[test]
    fn removing_keeps_the_order_of_the_rest() {
        let mut data = map(json!({"a": 1, "b": 2, "c": 3}));
        assert!(unset(&mut data, "a"));
        assert_eq!(data.keys().collect::<Vec<_>>(), ["b", "c"]);
    }
}

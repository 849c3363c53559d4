use std::ops::Range;

/// Equal bytes between two changes that are cheaper to repeat than to skip: a
/// further range costs its offset and its length, two to four bytes.
const GAP_REPEATED_MAX: usize = 4;

/// Bytes compared at once where nothing differs.
const STRIDE: usize = 32;

/// The parts of `new` that differ from `base`, in order and not touching each
/// other. Differences that only a few bytes separate are one range.
///
/// Without a base the page is held against zeroes, so that a full image leaves
/// out its runs of zeroes. The images are of the same size; what `new` has
/// beyond the end of `base` counts as changed.
pub fn changed_ranges(base: Option<&[u8]>, new: &[u8]) -> Vec<Range<usize>> {
    static ZEROES: [u8; 65536] = [0; 65536];
    let base = base.unwrap_or(&ZEROES);
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while let Some(start) = first_difference(base, new, at) {
        let end = end_of_difference(base, new, start);
        match ranges.last_mut() {
            Some(last) if start - last.end <= GAP_REPEATED_MAX => last.end = end,
            _ => ranges.push(start..end),
        }
        at = end;
    }
    ranges
}

fn first_difference(base: &[u8], new: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while at < new.len() {
        let end = (at + STRIDE).min(new.len());
        if base.get(at..end) == Some(&new[at..end]) {
            at = end;
            continue;
        }
        if let Some(offset) = (at..end).find(|&i| base.get(i) != Some(&new[i])) {
            return Some(offset);
        }
        at = end;
    }
    None
}

fn end_of_difference(base: &[u8], new: &[u8], start: usize) -> usize {
    (start..new.len()).find(|&i| base.get(i) == Some(&new[i])).unwrap_or(new.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn near_changes_are_one_range_and_distant_ones_two() {
        let base = [0u8; 512];
        let mut new = base;
        (new[10], new[15], new[21]) = (1, 1, 1);
        assert_eq!(changed_ranges(Some(&base), &new), vec![10..16, 21..22]);
        assert_eq!(changed_ranges(None, &new), vec![10..16, 21..22]);
        assert!(changed_ranges(Some(&new), &new).is_empty());
    }

    proptest! {
        #[test]
        fn patching_the_base_gives_the_new_page(
            base in proptest::collection::vec(0u8..3, 1024),
            changes in proptest::collection::vec((0usize..1024, 0u8..3), 0..40),
        ) {
            let mut new = base.clone();
            for (at, value) in changes {
                new[at] = value;
            }
            for base in [Some(base.as_slice()), None] {
                let ranges = changed_ranges(base, &new);
                let mut page = base.map_or_else(|| vec![0; 1024], <[u8]>::to_vec);
                for range in &ranges {
                    page[range.clone()].copy_from_slice(&new[range.clone()]);
                }
                prop_assert_eq!(&page, &new);
                for pair in ranges.windows(2) {
                    prop_assert!(pair[1].start > pair[0].end + GAP_REPEATED_MAX);
                }
            }
        }
    }
}

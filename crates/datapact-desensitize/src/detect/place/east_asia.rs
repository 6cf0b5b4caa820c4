//! Addresses in Chinese, Japanese and Korean: from the region down to the house.

use crate::detect::fold::{Folded, IDEOGRAPH, at};
use crate::detect::{Candidate, Entity};

/// Ends of the names of regions, towns and quarters, and of streets, in Chinese and Japanese.
const QUARTERS: &str = "省市县縣区區都府県州町村镇鎮郷乡";
const ROADS: &str = "路街道巷弄";
/// The same in Korean.
const QUARTERS_KOREAN: &str = "시도구군읍면동";
const ROADS_KOREAN: &str = "로길";
/// What precedes an address in a sentence without a space.
const LEADS: &str = "は在于於住址所：";
const HOUSES: &str = "号號番地丁目室楼階层層号栋棟之の-－ー";

/// Proposes the address that starts with the ideograph at `start`: `北京市朝阳区建国路88号`,
/// `東京都千代田区丸の内1-1-1`, `서울특별시 중구 세종대로 110`.
pub(in crate::detect) fn at_ideograph(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
    let bytes = text.bytes();
    let behind: Vec<char> = text.after(start, 160).chars().collect();
    let (mut begin, mut units, mut apart, mut road, mut end) = (0, 0, 0, false, None);
    for (index, character) in behind.iter().enumerate() {
        let korean = ('가'..='힣').contains(character);
        let (quarters, roads) =
            if korean { (QUARTERS_KOREAN, ROADS_KOREAN) } else { (QUARTERS, ROADS) };
        // A character that ends names can also begin one; in Korean it ends a word.
        let ends = index >= apart + 2
            && (!korean || behind.get(index + 1).is_none_or(|next| *next == ' '));
        if ends && (quarters.contains(*character) || roads.contains(*character)) {
            (units, apart, road) = (units + 1, index, roads.contains(*character));
        } else if units == 0 && LEADS.contains(*character) {
            (begin, apart) = (index + 1, index);
        } else if at(bytes, start + index).is_ascii_digit() {
            end = (units >= 2 && (road || !korean)).then_some(index + 1).or(end);
        } else if end.is_some() && HOUSES.contains(*character) {
            end = Some(index + 1);
        } else if end.is_some()
            || !(at(bytes, start + index) == IDEOGRAPH || (*character == ' ' && units > 0))
        {
            break;
        }
    }
    if let Some(end) = end {
        out.push(Candidate::new(start + begin, start + end, Entity::Address, 0.7));
    }
}

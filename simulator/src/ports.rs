//! Ports: the host's arrays in and out of SRAM.

use isa::{Chip, Element, Placement, Port, PortKind, Slice};

use crate::host::Array;
use crate::image::mem_index;

/// SRAM as the host sees it: whole words, of slices by [`mem_index`].
pub(crate) trait Words {
    /// Overwrites a word.
    fn write_word(&mut self, slice: usize, word: u32, value: &[u8]);
    /// Copies a word; false if it holds nothing, in part or whole.
    fn read_word(&self, slice: usize, word: u32, value: &mut [u8]) -> bool;
}

/// The bytes of each element of `array` as this port holds them.
fn encode(port: &Port, array: &Array) -> Result<Vec<[u8; 4]>, String> {
    let elements: usize = port.shape.iter().map(|extent| *extent as usize).product();
    if array.len() != elements {
        return Err(format!(
            "`{}` has {elements} elements (shape {:?}), and the array has {}",
            port.name,
            port.shape,
            array.len()
        ));
    }
    array.encode(port.element).map_err(|problem| format!("`{}`: {problem}", port.name))
}

/// Writes an array to every input and state port of this name: all its placements, and the high and low parts of F16.
///
/// # Errors
/// No such port, or an array of another type or number of elements; then nothing is written.
pub(crate) fn write_named(
    chip: &Chip,
    mem: &mut dyn Words,
    ports: &[Port],
    name: &str,
    array: &Array,
) -> Result<(), String> {
    let named = ports.iter().filter(|port| port.name == name && port.kind != PortKind::Output);
    let images: Vec<_> = named.map(|port| Ok((port, encode(port, array)?))).collect::<Result<_, String>>()?;
    if images.is_empty() {
        return Err(format!("no input or state is named `{name}`: {}", names(ports)));
    }
    for (port, elements) in images {
        write(chip, mem, port, &elements);
    }
    Ok(())
}

/// Writes the elements to where the port's placements say. Lanes and rows past the end hold zero.
fn write(chip: &Chip, mem: &mut dyn Words, port: &Port, elements: &[[u8; 4]]) {
    let mut value = vec![0; chip.lanes];
    for part in &port.parts {
        for &(hemisphere, slice) in part.stripes.iter().flatten() {
            for word in part.address..part.address + part.words(chip.lanes) {
                mem.write_word(mem_index(chip, hemisphere, slice), word, &value);
            }
        }
    }
    for vector in vectors(chip, port) {
        for (byte, &(hemisphere, slice)) in vector.slices.iter().enumerate() {
            value.fill(0);
            if vector.broadcast {
                value.fill(elements[vector.first][byte]);
            } else {
                let source = &elements[vector.first..vector.first + vector.count];
                value.iter_mut().zip(source).for_each(|(lane, element)| *lane = element[byte]);
            }
            mem.write_word(mem_index(chip, hemisphere, slice), vector.word, &value);
        }
    }
}

/// Reads the first port of this name that is not a low part, and adds the low part if there is one of the same shape.
pub(crate) fn read(chip: &Chip, mem: &dyn Words, ports: &[Port], name: &str) -> Result<Array, String> {
    let find =
        |low: bool| ports.iter().find(|port| port.name == name && (port.element == Element::F16Low) == low);
    let Some(port) = find(false) else {
        return Err(format!("no port is named `{name}`: {}", names(ports)));
    };
    let array = read_port(chip, mem, port)?;
    match find(true).filter(|low| low.shape == port.shape && port.element == Element::F16) {
        Some(low) => Ok(array.plus(read_port(chip, mem, low)?)),
        None => Ok(array),
    }
}

fn read_port(chip: &Chip, mem: &dyn Words, port: &Port) -> Result<Array, String> {
    let elements: usize = port.shape.iter().map(|extent| *extent as usize).product();
    let mut bytes = vec![[0; 4]; elements];
    let mut value = vec![0; chip.lanes];
    for vector in vectors(chip, port) {
        for (byte, &(hemisphere, slice)) in vector.slices.iter().enumerate() {
            if !mem.read_word(mem_index(chip, hemisphere, slice), vector.word, &mut value) {
                return Err(format!(
                    "`{}` was never written: word {} of {} holds nothing",
                    port.name,
                    vector.word,
                    Slice::Mem(hemisphere, slice)
                ));
            }
            let target = &mut bytes[vector.first..vector.first + vector.count];
            target.iter_mut().zip(&value).for_each(|(element, lane)| element[byte] = *lane);
        }
    }
    Ok(Array::decode(port.element, &bytes))
}

/// One vector of a port: which elements it holds, and where it lies.
struct Vector<'p> {
    first: usize,
    count: usize,
    broadcast: bool,
    word: u32,
    slices: &'p [(isa::Hemisphere, u16)],
}

/// All vectors of a port, part by part.
fn vectors<'p>(chip: &Chip, port: &'p Port) -> impl Iterator<Item = Vector<'p>> {
    let lanes = chip.lanes;
    let parts = port.parts.iter().zip(port.origins());
    parts.flat_map(move |(part, origin)| vectors_of_part(lanes, part, origin))
}

/// The vectors of a part, from its first element and the distance between rows.
fn vectors_of_part(
    lanes: usize,
    part: &Placement,
    (first, pitch): (usize, usize),
) -> impl Iterator<Item = Vector<'_>> {
    let chunks = part.chunks(lanes);
    let columns = part.columns as usize;
    (0..part.batches).flat_map(move |batch| {
        (0..part.rows).flat_map(move |row| {
            let row_first = first + (batch as usize * part.rows as usize + row as usize) * pitch;
            (0..chunks).map(move |chunk| {
                let (stripe, word) = part.locate(batch, row, chunk, chunks);
                let start = chunk as usize * lanes;
                Vector {
                    first: row_first + start,
                    count: lanes.min(columns - start),
                    broadcast: part.broadcast,
                    word,
                    slices: &part.stripes[stripe],
                }
            })
        })
    })
}

/// The names of the ports, for an error.
fn names(ports: &[Port]) -> String {
    let mut names: Vec<&str> = ports.iter().map(|port| port.name.as_str()).collect();
    names.dedup();
    if names.is_empty() {
        "the program has no ports".to_owned()
    } else {
        format!("there are {}", names.join(", "))
    }
}

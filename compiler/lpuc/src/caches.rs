//! Caches as the host sees them, and as the program keeps them: by rows, or by columns with the most recent rows apart.

use compiler::lower::legalize::{COLUMNS, RECENT};
use isa::Port;
use simulator::{Array as Data, Machine};

/// A cache [.., t, d] that a program keeps by columns.
struct ByColumns {
    columns: String,
    recent: String,
    /// Rows of the model's matrices, and their length.
    rows: usize,
    length: usize,
    /// Rows that are kept apart, and matrices side by side in them.
    block: usize,
    in_pack: usize,
}

/// Whether and how a program keeps a cache by columns.
fn by_columns(ports: &[Port], name: &str) -> Option<ByColumns> {
    let columns = format!("{name}{COLUMNS}");
    let recent = format!("{name}{RECENT}");
    let shape = |name: &str| ports.iter().find(|port| port.name == *name).map(|port| port.shape.clone());
    let (whole, apart) = (shape(&columns)?, shape(&recent)?);
    let (&[.., length, rows], &[_, block, width]) = (&whole[..], &apart[..]) else { return None };
    let [rows, length, block, in_pack] = [rows, length, block, width / length].map(|n| n as usize);
    Some(ByColumns { columns, recent, rows, length, block, in_pack })
}

/// Writes a cache whose next row comes to a position. A name that the program does not know has no place in it.
pub fn write(machine: &mut Machine, name: &str, data: &Data, position: usize) -> Result<(), String> {
    if let (Some(cache), Data::F32(values)) = (by_columns(machine.ports(), name), data) {
        machine.write(&cache.columns, &Data::F32(exchanged(values, cache.rows, cache.length)))?;
        return machine.write(&cache.recent, &Data::F32(cache.recent(values, position)));
    }
    if machine.ports().iter().any(|port| port.name == name) {
        machine.write(name, data)?;
    }
    Ok(())
}

/// Reads a cache.
pub fn read(machine: &Machine, name: &str) -> Result<Data, String> {
    let Some(cache) = by_columns(machine.ports(), name) else { return machine.read(name) };
    let data = machine.read(&cache.columns)?;
    Ok(match data {
        Data::F32(values) => Data::F32(exchanged(&values, cache.length, cache.rows)),
        other => other,
    })
}

impl ByColumns {
    /// The rows of the block that a position lies in: [packs, block, matrices of a pack × length].
    fn recent(&self, values: &[f32], position: usize) -> Vec<f32> {
        let first = position / self.block * self.block;
        let packs = values.chunks(self.in_pack * self.rows * self.length);
        packs
            .flat_map(|pack| {
                (first..first + self.block).flat_map(move |row| {
                    pack.chunks(self.rows * self.length).flat_map(move |matrix| {
                        let row = matrix.chunks(self.length).nth(row);
                        row.map_or(vec![0.0; self.length], <[f32]>::to_vec)
                    })
                })
            })
            .collect()
    }
}

/// Matrices of `rows` rows of `length` with the axes exchanged.
fn exchanged(values: &[f32], rows: usize, length: usize) -> Vec<f32> {
    let matrices = values.chunks(rows * length);
    matrices
        .flat_map(|matrix| (0..length).flat_map(move |at| matrix.iter().skip(at).step_by(length).copied()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_of_the_position_is_apart() {
        let cache = ByColumns {
            columns: String::new(),
            recent: String::new(),
            rows: 3,
            length: 2,
            block: 2,
            in_pack: 2,
        };
        // Two matrices of three rows: 0 1 | 2 3 | 4 5 and 6 7 | 8 9 | 10 11.
        let values: Vec<f32> = (0..12u8).map(f32::from).collect();
        assert_eq!(cache.recent(&values, 1), [0., 1., 6., 7., 2., 3., 8., 9.]);
        assert_eq!(cache.recent(&values, 2), [4., 5., 10., 11., 0., 0., 0., 0.]);
        assert_eq!(exchanged(&values, 3, 2), [0., 2., 4., 1., 3., 5., 6., 8., 10., 7., 9., 11.]);
    }
}

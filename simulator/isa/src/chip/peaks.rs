//! What a chip can do at best, and its description as a table for people.

use std::fmt::Write;

use super::Chip;
use super::field::FIELDS;
use crate::stream::Format;

/// Upper limits that follow from a description.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peaks {
    /// SRAM of the chip, bytes.
    pub sram_bytes: u64,
    /// SRAM, all banks busy, bytes per second.
    pub sram_bytes_per_second: f64,
    /// Streams past one position, both directions, bytes per second.
    pub stream_bytes_per_second: f64,
    /// Weights into the planes of both hemispheres, bytes per second.
    pub load_bytes_per_second: f64,
    /// Multiplications of bytes (I8 or F8) in all planes, per cycle.
    pub macs_per_cycle: u64,
    /// Operations on bytes (a multiplication and an addition are two), per second.
    pub ops_per_second: f64,
    /// Those of F8, where the planes multiply in it.
    pub f8_ops_per_second: Option<f64>,
    /// Those of F16, where the planes multiply in it: two planes work as one, two cycles a vector.
    pub f16_ops_per_second: Option<f64>,
}

impl Chip {
    /// Upper limits that follow from the description.
    pub fn peaks(&self) -> Peaks {
        let lanes = self.lanes as u64;
        let banks = 2 * u64::from(self.mem.slices_per_hemisphere) * u64::from(self.mem.banks);
        let planes = 2 * u64::from(self.mxm.planes_per_hemisphere);
        let macs_per_cycle = planes * u64::from(self.mxm.rows) * lanes;
        let per_second = |per_cycle: u64| per_cycle as f64 * self.clock_hz;
        let ops = |format, divisor: f64| {
            self.mxm.formats.contains(&format).then(|| per_second(2 * macs_per_cycle) / divisor)
        };
        Peaks {
            sram_bytes: self.sram_bytes(),
            sram_bytes_per_second: per_second(banks * lanes),
            stream_bytes_per_second: per_second(2 * u64::from(self.streams) * lanes),
            load_bytes_per_second: per_second(planes * u64::from(self.mxm.load_streams_per_plane) * lanes),
            macs_per_cycle,
            ops_per_second: per_second(2 * macs_per_cycle),
            f8_ops_per_second: ops(Format::F8, 1.0),
            f16_ops_per_second: ops(Format::F16, 4.0),
        }
    }

    /// The description as a table: each field with its value, its unit and its source; then the peaks.
    pub fn describe(&self) -> String {
        let mut out = format!("{}\n", self.name);
        for field in FIELDS {
            let amount = field.amount(self);
            let source = self.sources.get(field.name).map_or("given without source", String::as_str);
            // Writing to a String cannot fail.
            let _ = writeln!(out, "  {:<27} {amount:<25} {source}", field.name);
        }
        let peaks = self.peaks();
        let megabytes = peaks.sram_bytes as f64 / 1e6;
        let mebibytes = peaks.sram_bytes as f64 / f64::from(1 << 20);
        let mut rows = vec![
            ("SRAM", format!("{megabytes:.1} MB ({mebibytes:.1} MiB)")),
            ("SRAM bandwidth", format!("{:.2} TB/s", peaks.sram_bytes_per_second / 1e12)),
            ("stream bandwidth", format!("{:.2} TB/s", peaks.stream_bytes_per_second / 1e12)),
            ("weights into the planes", format!("{:.2} TB/s", peaks.load_bytes_per_second / 1e12)),
        ];
        if self.mxm.formats.contains(&Format::I8) {
            rows.push(("int8 products", format!("{} per cycle", peaks.macs_per_cycle)));
            rows.push(("int8 operations", format!("{:.1} TOPS", peaks.ops_per_second / 1e12)));
        }
        for (what, peak) in
            [("fp8 operations", peaks.f8_ops_per_second), ("fp16 operations", peaks.f16_ops_per_second)]
        {
            rows.extend(peak.map(|peak| (what, format!("{:.1} TFLOPS", peak / 1e12))));
        }
        for (what, amount) in rows {
            let _ = writeln!(out, "  {what:<27} {amount:<25} follows");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_agree_with_published_figures() {
        let v1 = Chip::preset("tsp-v1").unwrap().peaks();
        assert_eq!(v1.sram_bytes, 220 << 20);
        assert_eq!(v1.macs_per_cycle, 409_600);
        assert!((v1.stream_bytes_per_second / 18.43e12 - 1.0).abs() < 1e-3);
        assert!((v1.load_bytes_per_second - v1.stream_bytes_per_second).abs() < 1.0);
        assert!((v1.ops_per_second / 737e12 - 1.0).abs() < 1e-3);
        assert_eq!(v1.f8_ops_per_second, None);
        assert!((v1.f16_ops_per_second.unwrap() / 184e12 - 1.0).abs() < 2e-3);
        let lp30 = Chip::preset("lp30").unwrap().peaks();
        assert!((lp30.f8_ops_per_second.unwrap() / 1.2e15 - 1.0).abs() < 0.03);
        assert!((lp30.sram_bytes as f64 / 500e6 - 1.0).abs() < 1e-3);
        assert!((lp30.ops_per_second / 1.2e15 - 1.0).abs() < 0.03);
        assert!((lp30.sram_bytes_per_second / 150e12 - 1.0).abs() < 0.03);
        let wide = Chip::preset("lp30-wide").unwrap().peaks();
        assert!((wide.load_bytes_per_second / 150e12 - 1.0).abs() < 0.03);
    }

    #[test]
    fn description_names_every_field_with_its_source() {
        let chip = Chip::preset("lp30-narrow").unwrap();
        let text = chip.describe();
        for field in FIELDS {
            let line = text.lines().find(|line| line.trim_start().starts_with(field.name)).expect(field.name);
            assert!(line.ends_with(&chip.sources[field.name]), "{line}");
        }
        assert!(text.contains("SRAM                        499.9 MB (476.8 MiB)"), "{text}");
        assert!(text.contains("mxm.formats                 I8, F8, F16, I4, F4, F8WIDE "), "{text}");
        assert!(text.contains("fp8 operations              1228.8 TFLOPS"), "{text}");
        let old = Chip::preset("tsp-v1").unwrap().describe();
        assert!(!old.contains("fp8"), "{old}");
    }
}

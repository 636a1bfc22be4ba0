//! Weights, caches and least numbers of chips of published models, against figures derived elsewhere.

use models::{Config, count};

fn preset(name: &str) -> &'static Config {
    Config::preset(name).unwrap_or_else(|| panic!("no preset {name}"))
}

/// One row: name; parameters in billions, and those read per token, matrices only; KV elements per token of layers that see all
/// tokens, and of layers that see a window; chips of 500 MB at 8 and 4 bits, chips of 230 MB at 8 bits.
type Row = (&'static str, &'static str, &'static str, u64, u64, [u64; 3]);

/// Figures of the project's collection of public facts, as they stand there: to as many digits, matrices only.
const FIGURES: [Row; 12] = [
    ("qwen3-8b", "8.19", "7.57", 73_728, 0, [17, 9, 36]),
    ("llama-3-8b", "8.03", "7.50", 65_536, 0, [17, 9, 35]),
    ("llama-3-70b", "70.55", "69.50", 163_840, 0, [142, 71, 307]),
    ("llama-2-70b", "68.98", "68.71", 163_840, 0, [138, 69, 300]),
    ("llama-2-7b", "6.74", "6.61", 262_144, 0, [14, 7, 30]),
    ("mixtral-8x7b", "46.70", "12.75", 65_536, 0, [94, 47, 204]),
    ("qwen3-235b-a22b", "235.09", "21.57", 96_256, 0, [471, 236, 1023]),
    ("gpt-oss-120b", "116.79", "5.13", 18_432, 18_432, [234, 117, 508]),
    ("gpt-oss-20b", "20.91", "3.61", 12_288, 12_288, [42, 21, 91]),
    ("kimi-k2", "1026.4", "31.7", 35_136, 0, [2053, 1027, 4463]),
    ("deepseek-v3", "671.0", "36.6", 35_136, 0, [1343, 672, 2918]),
    ("gemma-4-31b", "30.70", "30.70", 20_480, 409_600, [62, 31, 134]),
];

/// A number in billions with as many digits as `like`.
fn billions(number: u64, like: &str) -> String {
    let digits = like.split('.').nth(1).map_or(0, str::len);
    format!("{:.digits$}", number as f64 / 1e9)
}

#[test]
fn weights_and_caches_are_the_published_figures() {
    for (name, total, read, full, windowed, _) in FIGURES {
        let weights = count::count(preset(name)).total();
        assert_eq!(billions(weights.matrices, total), total, "{name}: parameters");
        assert_eq!(billions(weights.read, read), read, "{name}: read per token");
        let cache = count::cache(preset(name));
        assert_eq!((cache.full, cache.windowed), (full, windowed), "{name}: cache");
    }
}

/// The figures count 500 and 230 MB a chip, the first being what is published of the chip, the second a rounding of 220 MiB.
#[test]
fn chips_are_the_published_figures() {
    for (name, .., chips) in FIGURES {
        let weights = count::count(preset(name)).total().matrices;
        let least = [(8, 500_000_000), (4, 500_000_000), (8, 230_000_000)]
            .map(|(bits, sram)| count::chips(weights, bits, sram));
        assert_eq!(least, chips, "{name}");
    }
}

/// Chips as the chip files have them: 160 slices of 3,124,480 bytes (499.9 MB) and 88 of 2.5 MiB (220 MiB, 230.7 MB). Where that is another
/// number of chips than the figures', it is said here; the large models take more of the newer chip and fewer of the older.
#[test]
fn chips_of_the_chip_files() {
    const LP30: u64 = 499_916_800;
    const TSP_V1: u64 = 220 << 20;
    let mut differ = Vec::new();
    for (name, .., [lp30_8, lp30_4, tsp_8]) in FIGURES {
        let weights = count::count(preset(name)).total().matrices;
        for (chip, bits, sram, figure) in
            [("lp30", 8, LP30, lp30_8), ("lp30", 4, LP30, lp30_4), ("tsp-v1", 8, TSP_V1, tsp_8)]
        {
            let chips = count::chips(weights, bits, sram);
            if chips != figure {
                differ.push((name, chip, bits, chips, figure));
            }
        }
    }
    let expected = [
        ("llama-3-70b", "tsp-v1", 8, 306, 307),
        ("llama-2-70b", "tsp-v1", 8, 299, 300),
        ("mixtral-8x7b", "tsp-v1", 8, 203, 204),
        ("qwen3-235b-a22b", "tsp-v1", 8, 1020, 1023),
        ("gpt-oss-120b", "tsp-v1", 8, 507, 508),
        ("kimi-k2", "lp30", 8, 2054, 2053),
        ("kimi-k2", "tsp-v1", 8, 4450, 4463),
        ("deepseek-v3", "tsp-v1", 8, 2909, 2918),
    ];
    assert_eq!(differ, expected);
}

/// Numbers of elements, vectors and all, in the files that the models are published as.
#[test]
fn with_norms_and_biases_the_counts_are_those_of_the_published_files() {
    for (name, elements) in [
        ("llama-2-7b", 6_738_415_616),
        ("llama-2-70b", 68_976_648_192),
        ("llama-3-8b", 8_030_261_248),
        ("llama-3-70b", 70_553_706_496),
        ("smollm2-135m", 134_515_008),
        ("mixtral-8x7b", 46_702_792_704),
        ("qwen3-8b", 8_190_735_360),
        ("qwen3-235b-a22b", 235_093_634_560),
        ("gpt-oss-20b", 20_914_757_184),
        ("gpt-oss-120b", 116_829_156_672),
        ("deepseek-v3", 671_026_419_200),
        ("bert-base", 109_482_240),
        ("bert-large", 335_141_888),
    ] {
        assert_eq!(count::count(preset(name)).total().all(), elements, "{name}");
    }
}

#[test]
fn an_expert_of_the_published_size() {
    for (name, millions) in [
        ("kimi-k2", "44.04"),
        ("deepseek-v3", "44.04"),
        ("qwen3-235b-a22b", "18.87"),
        ("gpt-oss-120b", "24.88"),
    ] {
        let last = *count::count(preset(name)).layers.last().expect("layers");
        let models::config::FeedForward::Experts(experts) = preset(name).feed_forward else {
            panic!("{name}")
        };
        let expert = last.experts.matrices / experts.experts as u64;
        assert_eq!(last.experts.read, expert * experts.active as u64, "{name}");
        assert_eq!(format!("{:.2}", expert as f64 / 1e6), millions, "{name}");
    }
}

/// What the model card of gpt-oss says of its parts, in billions; norms, biases and sinks are in it.
#[test]
fn parts_of_gpt_oss_are_those_of_its_model_card() {
    for (name, feed_forward, attention) in
        [("gpt-oss-120b", "114.71", "0.96"), ("gpt-oss-20b", "19.12", "0.64")]
    {
        let count = count::count(preset(name));
        let sum = |of: fn(&count::Layer) -> u64| billions(count.layers.iter().map(of).sum(), "0.00");
        assert_eq!(sum(|layer| layer.experts.all() + layer.router.all()), feed_forward, "{name}");
        assert_eq!(sum(|layer| layer.attention.all()), attention, "{name}");
        assert_eq!(billions(count.embedding.all() + count.head.all(), "0.00"), "1.16", "{name}");
    }
}

#[test]
fn parts_add_up_and_first_layers_may_be_dense() {
    let deepseek = count::count(preset("deepseek-v3"));
    let dense = |layer: &count::Layer| layer.feed_forward.matrices > 0;
    assert_eq!(deepseek.layers.iter().map(dense).collect::<Vec<_>>()[..5], [true, true, true, false, false]);
    let layers: count::Weights = deepseek.layers.iter().map(count::Layer::total).sum();
    assert_eq!(deepseek.total(), deepseek.embedding + layers + deepseek.norm + deepseek.head);
    // A head that shares the embedding's matrix is read, but weighs nothing more.
    let tied = count::count(preset("smollm2-135m"));
    assert_eq!((tied.head.matrices, tied.head.read), (0, 49_152 * 576));
    assert_eq!(tied.total().read, tied.total().matrices);
}

#[test]
fn a_full_window_stops_growing() {
    let cache = count::cache(preset("gemma-4-31b"));
    assert_eq!((cache.window, cache.per_token()), (1024, 430_080));
    assert_eq!(cache.elements(1000), 430_080 * 1000);
    assert_eq!(cache.elements(2000), 20_480 * 2000 + 409_600 * 1024);
    assert_eq!(count::cache(preset("bert-base")), count::Cache::default());
}

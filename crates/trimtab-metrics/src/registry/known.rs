//! Scores that the reference packages give. Written by `scripts/golden/text_metrics.py`.

use crate::{Language, Tokenization};

/// A text, its reference and its BLEU with the default options.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownBleu {
    pub(super) tokenization: Tokenization,
    pub(super) hypothesis: &'static str,
    pub(super) reference: &'static str,
    pub(super) score: f64,
}

/// Code, its reference and the four parts of its CodeBLEU.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownCodeBleu {
    pub(super) language: Language,
    pub(super) hypothesis: &'static str,
    pub(super) reference: &'static str,
    pub(super) parts: [f64; 4],
}

pub(super) const BLEU: [KnownBleu; 3] = [
    KnownBleu {
        tokenization: Tokenization::V13a,
        hypothesis: "if (n<=10) return n*n; // fast, 3.14 e-5",
        reference: "if (n < 10) { return n * n; } // quick, 3.14 e-6",
        score: 39.57628193976147,
    },
    KnownBleu {
        tokenization: Tokenization::International,
        hypothesis: "if (n<=10) return n*n; // fast, 3.14 e-5",
        reference: "if (n < 10) { return n * n; } // quick, 3.14 e-6",
        score: 44.78226646961712,
    },
    KnownBleu {
        tokenization: Tokenization::None,
        hypothesis: "if (n<=10) return n*n; // fast, 3.14 e-5",
        reference: "if (n < 10) { return n * n; } // quick, 3.14 e-6",
        score: 3.689111847432509,
    },
];

pub(super) const CODEBLEU: [KnownCodeBleu; 10] = [
    KnownCodeBleu {
        language: Language::Python,
        hypothesis: "def summarise(items, most=10, rate=0.2):\n    total = 0\n    count = 0\n    seen = {}\n    for key, cost in items:\n        if cost <= most:\n            if key in seen:\n                seen[key] = seen[key] + cost\n            else:\n                seen[key] = cost\n            total += cost * (1 + rate)\n            count += 1\n    while total > 1000: total /= 2\n    name = 'größe'\n    squares = list(map(lambda x: x ** 2, seen.values()))\n    return {name: total, 'n': count, 'squares': squares}\n",
        reference: "\"\"\"Totals of orders.\"\"\"\ndef summarise(orders, limit=10, *, rate=0.2):\n    \"\"\"Adds up.\"\"\"\n    total, count = 0, 0\n    seen = {}\n    for name, price in orders:\n        # cheap ones only\n        if price > limit:\n            continue\n        elif name in seen:\n            seen[name] += price\n        else:\n            seen[name] = price\n        total += price * (1 + rate)\n        count = count + 1\n    while total > 1000:\n        total = total / 2\n    label: str = \"größe\"\n    squares = [x * x for x in seen.values() if x not in (1, 2)]\n    return {label: total, \"n\": count, \"squares\": squares}\n",
        parts: [
            0.16836001515711557,
            0.17614074851194997,
            0.5,
            0.7647058823529411,
        ],
    },
    KnownCodeBleu {
        language: Language::Java,
        hypothesis: "public class Totals {\n    private Map<String, Integer> known = new TreeMap<>();\n    public double sum(Order[] items, int most) {\n        double result = 0;\n        int n = 0;\n        for (int k = 0; k < items.length; ++k) {\n            Order item = items[k];\n            if (item.price <= most) {\n                if (known.containsKey(item.name)) {\n                    result = result + item.price * 2;\n                } else {\n                    known.put(item.name, item.price);\n                    n++;\n                }\n            }\n        }\n        for (int i = 0; i < n; i++) result += known.get(\"größe\" + i);\n        do { result = result / 2; } while (result > 1000);\n        return result;\n    }\n}\n",
        reference: "/** Totals. */\npublic class Totals {\n    private final Map<String, Integer> seen = new HashMap<>();\n    public double sum(List<Order> orders, int limit) throws IOException {\n        double total = 0; // all of them\n        int count = 0, skipped;\n        for (Order order : orders) {\n            if (order.price > limit) {\n                continue;\n            } else if (seen.containsKey(order.name)) {\n                total = total + order.price * 2;\n            } else {\n                seen.put(order.name, order.price);\n                count++;\n            }\n        }\n        for (int i = 0; i < count; i++) {\n            total += seen.get(\"größe\" + i);\n        }\n        while (total > 1000) { total = total / 2; --count; }\n        return total;\n    }\n}\n",
        parts: [
            0.2083861080348519,
            0.21999219919903815,
            0.7407407407407407,
            0.574468085106383,
        ],
    },
    KnownCodeBleu {
        language: Language::CSharp,
        hypothesis: "public class Totals {\n    private Dictionary<string, int> known = new();\n    public double Sum(IEnumerable<Order> items, int most) {\n        var result = 0.0;\n        var n = 0;\n        foreach (var item in items) {\n            if (item.Price <= most) {\n                if (known.TryGetValue(item.Name, out var price)) { result = result + price * 2; }\n                else { known[item.Name] = item.Price; n++; }\n            }\n        }\n        for (var i = 0; i < n; i++) result += known[\"größe\" + i];\n        while (result > 1000) result /= 2;\n        return result;\n    }\n}\n",
        reference: "public class Totals {\n    private readonly Dictionary<string, int> seen = new Dictionary<string, int>();\n    public virtual double Sum(IList<Order> orders, int limit = 10) {\n        double total = 0; /* all */\n        int count = 0;\n        foreach (Order order in orders) {\n            if (order.Price > limit) {\n                continue;\n            } else if (seen.ContainsKey(order.Name)) {\n                total = total + order.Price * 2;\n            } else {\n                seen[order.Name] = order.Price;\n                count++;\n            }\n        }\n        for (int i = 0; i < count; i++) {\n            total += seen[\"größe\" + i];\n        }\n        while (total > 1000) { total = total / 2; }\n        return total;\n    }\n}\n",
        parts: [
            0.1664894936895388,
            0.17477150664682473,
            0.5569620253164557,
            0.6410256410256411,
        ],
    },
    KnownCodeBleu {
        language: Language::C,
        hypothesis: "double sum(struct order *items, size_t length, int most) {\n    double result = 0.0;\n    int n = 0;\n    for (size_t k = 0; k < length; ++k) {\n        struct order item = items[k];\n        if (item.price <= most) {\n            if (item.seen) { result = result + item.price * 2; }\n            else n++;\n        }\n    }\n    while (result > 1000) result /= 2;\n    printf(\"größe %d\\n\", n);\n    return result;\n}\n",
        reference: "#include <stdio.h>\n/* Totals. */\nstatic double sum(const struct order *orders, int n, int limit) {\n    double total = 0;\n    int count = 0, i;\n    for (i = 0; i < n; i++) {\n        const struct order *order = &orders[i];\n        if (order->price > limit) {\n            continue;\n        } else if (order->seen) {\n            total = total + order->price * 2;\n        } else {\n            count++;\n        }\n    }\n    while (total > 1000) { total = total / 2; }\n    printf(\"größe %d\\n\", count); // told\n    return total;\n}\n",
        parts: [
            0.07058401513984254,
            0.07648445764635278,
            0.5573770491803278,
            0.6666666666666666,
        ],
    },
    KnownCodeBleu {
        language: Language::Cpp,
        hypothesis: "double sum(std::vector<Order> items, int most) {\n    auto result = 0.0;\n    int n = 0;\n    std::unordered_map<std::string, int> known;\n    for (size_t k = 0; k < items.size(); ++k) {\n        auto item = items[k];\n        if (item.price <= most) {\n            if (known.count(item.name)) { result = result + item.price * 2; }\n            else { known[item.name] = item.price; n++; }\n        }\n    }\n    for (int i = 0; i < n; i++) result += i;\n    while (result > 1000) result /= 2;\n    std::cout << \"größe \" << n << '\\n';\n    return result;\n}\n",
        reference: "#include <map>\ntemplate <typename T>\ndouble sum(const std::vector<T>& orders, int limit = 10) {\n    double total = 0; // all\n    int count = 0;\n    std::map<std::string, int> seen;\n    for (const auto& order : orders) {\n        if (order.price > limit) {\n            continue;\n        } else if (seen.count(order.name)) {\n            total = total + order.price * 2;\n        } else {\n            seen[order.name] = order.price;\n            count++;\n        }\n    }\n    for (int i = 0; i < count; i++) { total += i; }\n    while (total > 1000) { total = total / 2; }\n    std::cout << \"größe \" << count << std::endl;\n    return total;\n}\n",
        parts: [
            0.20017746253498941,
            0.20942284204327316,
            0.6588235294117647,
            0.6176470588235294,
        ],
    },
    KnownCodeBleu {
        language: Language::JavaScript,
        hypothesis: "const sum = (items, most) => {\n  let result = 0;\n  let n = 0;\n  let known = new Map();\n  items.forEach((item) => {\n    if (item.price <= most) {\n      if (known.has(item.name)) { result += item.price * 2; }\n      else { known.set(item.name, item.price); n++; }\n    }\n  });\n  for (var i = 0; i < n; i++) { result += known.get('größe' + i) || 0; }\n  while (result > 1000) result /= 2;\n  return { result, n };\n};\n",
        reference: "// Totals.\nfunction sum(orders, limit = 10) {\n  let total = 0, count = 0;\n  const seen = {};\n  for (const order of orders) {\n    if (order.price > limit) {\n      continue;\n    } else if (seen[order.name]) {\n      total += order.price * 2;\n    } else {\n      seen[order.name] = order.price;\n      count++;\n    }\n  }\n  for (var i = 0; i < count; i++) {\n    total += seen[`größe${i}`] ?? 0;\n  }\n  while (total > 1000) { total /= 2; }\n  const { a = 1, b } = seen;\n  return { total, count, f: async (x) => await x + a };\n}\n",
        parts: [
            0.1475362940224241,
            0.15718344275764812,
            0.36764705882352944,
            0.3125,
        ],
    },
    KnownCodeBleu {
        language: Language::Go,
        hypothesis: "package totals\n\nfunc Sum(items []Order, most int) float64 {\n\tresult, n := 0.0, 0\n\tknown := make(map[string]int)\n\tfor k := 0; k < len(items); k++ {\n\t\titem := items[k]\n\t\tif item.Price <= most {\n\t\t\tif known[item.Name] > 0 {\n\t\t\t\tresult = result + item.Price*2\n\t\t\t} else {\n\t\t\t\tknown[item.Name] = item.Price\n\t\t\t\tn++\n\t\t\t}\n\t\t}\n\t}\n\tfor i := 0; i < n; i++ {\n\t\tresult += known[\"größe\"]\n\t}\n\tfor result > 1000 {\n\t\tresult = result / 2\n\t}\n\treturn result\n}\n",
        reference: "package totals\n\n// Sum adds up.\nfunc Sum(orders []Order, limit int) (float64, error) {\n\tvar total float64 = 0\n\tvar count int\n\tseen := map[string]int{}\n\tfor _, order := range orders {\n\t\tif order.Price > limit {\n\t\t\tcontinue\n\t\t} else if _, ok := seen[order.Name]; ok {\n\t\t\ttotal = total + order.Price*2\n\t\t} else {\n\t\t\tseen[order.Name] = order.Price\n\t\t\tcount++\n\t\t}\n\t}\n\tfor i := 0; i < count; i++ {\n\t\ttotal += seen[\"größe\"]\n\t}\n\tfor total > 1000 {\n\t\ttotal = total / 2\n\t}\n\treturn total, nil\n}\n",
        parts: [
            0.1710657029039614,
            0.1750484894315286,
            0.6756756756756757,
            0.425,
        ],
    },
    KnownCodeBleu {
        language: Language::Rust,
        hypothesis: "fn sum(items: Vec<Order>, most: u32) -> f64 {\n    0.0\n}\nlet mut result = 0.0;\nlet mut n = 0;\nfor item in items.iter() {\n    if item.price <= most {\n        match known.get(item.name) {\n            Some(price) => { result = result + price * 2; }\n            None => { known.insert(\"größe\", item.price); n += 1; }\n        }\n    }\n}\nwhile result > 1000.0 { result = result / 2.0; }\nlet label = if n == 0 { \"none\" } else { \"some\" };\n",
        reference: "/// Totals.\npub struct Totals<'a> { seen: HashMap<&'a str, u32> }\n\nimpl<'a> Totals<'a> {\n    pub fn sum(&mut self, orders: &[Order], limit: u32) -> f64 {\n        let mut total = 0.0;\n        total = total + 1.0;\n    }\n}\nlet mut total = 0.0;\nlet mut count = 0;\nfor order in orders {\n    if order.price > limit {\n        continue;\n    } else if let Some(price) = seen.get(order.name) {\n        total = total + price * 2;\n    } else {\n        seen.insert(\"größe\", order.price);\n        count += 1;\n    }\n}\nwhile total > 1000.0 { total = total / 2.0; }\nlet label = match count { 0 => \"none\", n if n > 1 => \"many\", _ => \"one\" };\nloop { total -= 1.0; if total < 0.0 { break; } }\n",
        parts: [
            0.1615040814177993,
            0.1852907460650497,
            0.41237113402061853,
            0.48148148148148145,
        ],
    },
    KnownCodeBleu {
        language: Language::Php,
        hypothesis: "<?php\nfunction sum($items, $most) {\n    $result = 0.0;\n    $n = 0;\n    $known = array();\n    foreach ($items as $key => $item) {\n        if ($item->price <= $most) {\n            if (array_key_exists($item->name, $known)) { $result += $item->price * 2; }\n            else { $known[$item->name] = $item->price; $n++; }\n        }\n    }\n    for ($i = 0; $i < $n; $i++) $result = $result + $known['größe' . $i];\n    while ($result > 1000) $result /= 2;\n    return $result;\n}\n",
        reference: "<?php\n/* Totals. */\nfunction sum(array $orders, int $limit = 10): float {\n    $total = 0;\n    $count = 0;\n    $seen = [];\n    foreach ($orders as $order) {\n        if ($order->price > $limit) {\n            continue;\n        } elseif (isset($seen[$order->name])) {\n            $total += $order->price * 2;\n        } else {\n            $seen[$order->name] = $order->price;\n            $count++;\n        }\n    }\n    for ($i = 0; $i < $count; $i++) {\n        $total = $total + $seen[\"größe$i\"];\n    }\n    while ($total > 1000) { $total = $total / 2; }\n    return $total; // done\n}\n",
        parts: [
            0.1664293248089732,
            0.1788012827492386,
            0.6739130434782609,
            0.0,
        ],
    },
    KnownCodeBleu {
        language: Language::Ruby,
        hypothesis: "class Totals\n  def sum(items, most = 10)\n    result = 0\n    n = 0\n    known = Hash.new\n    items.each do |item|\n      next if item.price > most\n      if known.key?(item.name)\n        result += item.price * 2\n      else\n        known[item.name] = item.price\n        n += 1\n      end\n    end\n    result /= 2 while result > 1000\n    name = n.zero? ? \"größe\" : \"other\"\n    result\n  end\nend\n",
        reference: "# Totals.\nclass Totals\n  def sum(orders, limit: 10, rate:)\n    total, count = 0, 0\n    seen = {}\n    for order in orders\n      if order.price > limit\n        next\n      elsif seen.key?(order.name)\n        total += order.price * 2\n      else\n        seen[order.name] = order.price\n        count += 1\n      end\n    end\n    total = total / 2 while total > 1000\n    until count.zero?\n      count -= 1\n    end\n    label = case count\n            when 0 then \"größe\"\n            else \"other #{count}\"\n            end\n    orders.each { |one| total = total + one.price unless one.nil? }\n    total\n  end\nend\n",
        parts: [
            0.06665157661864658,
            0.07467942031589504,
            0.39344262295081966,
            0.2653061224489796,
        ],
    },
];

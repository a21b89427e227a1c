"""Code for the golden values of CodeBLEU: for each language a reference, and another way to write it.

Written for this purpose. Every construct that the data-flow rules know is in one of them, and so are
comments, letters outside ASCII and names that differ between both ways.
"""

SAMPLES = {
    "python": ('''"""Totals of orders."""
def summarise(orders, limit=10, *, rate=0.2):
    """Adds up."""
    total, count = 0, 0
    seen = {}
    for name, price in orders:
        # cheap ones only
        if price > limit:
            continue
        elif name in seen:
            seen[name] += price
        else:
            seen[name] = price
        total += price * (1 + rate)
        count = count + 1
    while total > 1000:
        total = total / 2
    label: str = "größe"
    squares = [x * x for x in seen.values() if x not in (1, 2)]
    return {label: total, "n": count, "squares": squares}
''', '''def summarise(items, most=10, rate=0.2):
    total = 0
    count = 0
    seen = {}
    for key, cost in items:
        if cost <= most:
            if key in seen:
                seen[key] = seen[key] + cost
            else:
                seen[key] = cost
            total += cost * (1 + rate)
            count += 1
    while total > 1000: total /= 2
    name = 'größe'
    squares = list(map(lambda x: x ** 2, seen.values()))
    return {name: total, 'n': count, 'squares': squares}
'''),
    "java": ('''/** Totals. */
public class Totals {
    private final Map<String, Integer> seen = new HashMap<>();
    public double sum(List<Order> orders, int limit) throws IOException {
        double total = 0; // all of them
        int count = 0, skipped;
        for (Order order : orders) {
            if (order.price > limit) {
                continue;
            } else if (seen.containsKey(order.name)) {
                total = total + order.price * 2;
            } else {
                seen.put(order.name, order.price);
                count++;
            }
        }
        for (int i = 0; i < count; i++) {
            total += seen.get("größe" + i);
        }
        while (total > 1000) { total = total / 2; --count; }
        return total;
    }
}
''', '''public class Totals {
    private Map<String, Integer> known = new TreeMap<>();
    public double sum(Order[] items, int most) {
        double result = 0;
        int n = 0;
        for (int k = 0; k < items.length; ++k) {
            Order item = items[k];
            if (item.price <= most) {
                if (known.containsKey(item.name)) {
                    result = result + item.price * 2;
                } else {
                    known.put(item.name, item.price);
                    n++;
                }
            }
        }
        for (int i = 0; i < n; i++) result += known.get("größe" + i);
        do { result = result / 2; } while (result > 1000);
        return result;
    }
}
'''),
    "c_sharp": ('''public class Totals {
    private readonly Dictionary<string, int> seen = new Dictionary<string, int>();
    public virtual double Sum(IList<Order> orders, int limit = 10) {
        double total = 0; /* all */
        int count = 0;
        foreach (Order order in orders) {
            if (order.Price > limit) {
                continue;
            } else if (seen.ContainsKey(order.Name)) {
                total = total + order.Price * 2;
            } else {
                seen[order.Name] = order.Price;
                count++;
            }
        }
        for (int i = 0; i < count; i++) {
            total += seen["größe" + i];
        }
        while (total > 1000) { total = total / 2; }
        return total;
    }
}
''', '''public class Totals {
    private Dictionary<string, int> known = new();
    public double Sum(IEnumerable<Order> items, int most) {
        var result = 0.0;
        var n = 0;
        foreach (var item in items) {
            if (item.Price <= most) {
                if (known.TryGetValue(item.Name, out var price)) { result = result + price * 2; }
                else { known[item.Name] = item.Price; n++; }
            }
        }
        for (var i = 0; i < n; i++) result += known["größe" + i];
        while (result > 1000) result /= 2;
        return result;
    }
}
'''),
    "c": ('''#include <stdio.h>
/* Totals. */
static double sum(const struct order *orders, int n, int limit) {
    double total = 0;
    int count = 0, i;
    for (i = 0; i < n; i++) {
        const struct order *order = &orders[i];
        if (order->price > limit) {
            continue;
        } else if (order->seen) {
            total = total + order->price * 2;
        } else {
            count++;
        }
    }
    while (total > 1000) { total = total / 2; }
    printf("größe %d\\n", count); // told
    return total;
}
''', '''double sum(struct order *items, size_t length, int most) {
    double result = 0.0;
    int n = 0;
    for (size_t k = 0; k < length; ++k) {
        struct order item = items[k];
        if (item.price <= most) {
            if (item.seen) { result = result + item.price * 2; }
            else n++;
        }
    }
    while (result > 1000) result /= 2;
    printf("größe %d\\n", n);
    return result;
}
'''),
    "cpp": ('''#include <map>
template <typename T>
double sum(const std::vector<T>& orders, int limit = 10) {
    double total = 0; // all
    int count = 0;
    std::map<std::string, int> seen;
    for (const auto& order : orders) {
        if (order.price > limit) {
            continue;
        } else if (seen.count(order.name)) {
            total = total + order.price * 2;
        } else {
            seen[order.name] = order.price;
            count++;
        }
    }
    for (int i = 0; i < count; i++) { total += i; }
    while (total > 1000) { total = total / 2; }
    std::cout << "größe " << count << std::endl;
    return total;
}
''', '''double sum(std::vector<Order> items, int most) {
    auto result = 0.0;
    int n = 0;
    std::unordered_map<std::string, int> known;
    for (size_t k = 0; k < items.size(); ++k) {
        auto item = items[k];
        if (item.price <= most) {
            if (known.count(item.name)) { result = result + item.price * 2; }
            else { known[item.name] = item.price; n++; }
        }
    }
    for (int i = 0; i < n; i++) result += i;
    while (result > 1000) result /= 2;
    std::cout << "größe " << n << '\\n';
    return result;
}
'''),
    "javascript": ('''// Totals.
function sum(orders, limit = 10) {
  let total = 0, count = 0;
  const seen = {};
  for (const order of orders) {
    if (order.price > limit) {
      continue;
    } else if (seen[order.name]) {
      total += order.price * 2;
    } else {
      seen[order.name] = order.price;
      count++;
    }
  }
  for (var i = 0; i < count; i++) {
    total += seen[`größe${i}`] ?? 0;
  }
  while (total > 1000) { total /= 2; }
  const { a = 1, b } = seen;
  return { total, count, f: async (x) => await x + a };
}
''', '''const sum = (items, most) => {
  let result = 0;
  let n = 0;
  let known = new Map();
  items.forEach((item) => {
    if (item.price <= most) {
      if (known.has(item.name)) { result += item.price * 2; }
      else { known.set(item.name, item.price); n++; }
    }
  });
  for (var i = 0; i < n; i++) { result += known.get('größe' + i) || 0; }
  while (result > 1000) result /= 2;
  return { result, n };
};
'''),
    "go": ('''package totals

// Sum adds up.
func Sum(orders []Order, limit int) (float64, error) {
	var total float64 = 0
	var count int
	seen := map[string]int{}
	for _, order := range orders {
		if order.Price > limit {
			continue
		} else if _, ok := seen[order.Name]; ok {
			total = total + order.Price*2
		} else {
			seen[order.Name] = order.Price
			count++
		}
	}
	for i := 0; i < count; i++ {
		total += seen["größe"]
	}
	for total > 1000 {
		total = total / 2
	}
	return total, nil
}
''', '''package totals

func Sum(items []Order, most int) float64 {
	result, n := 0.0, 0
	known := make(map[string]int)
	for k := 0; k < len(items); k++ {
		item := items[k]
		if item.Price <= most {
			if known[item.Name] > 0 {
				result = result + item.Price*2
			} else {
				known[item.Name] = item.Price
				n++
			}
		}
	}
	for i := 0; i < n; i++ {
		result += known["größe"]
	}
	for result > 1000 {
		result = result / 2
	}
	return result
}
'''),
    "rust": ('''/// Totals.
pub struct Totals<'a> { seen: HashMap<&'a str, u32> }

impl<'a> Totals<'a> {
    pub fn sum(&mut self, orders: &[Order], limit: u32) -> f64 {
        let mut total = 0.0;
        total = total + 1.0;
    }
}
let mut total = 0.0;
let mut count = 0;
for order in orders {
    if order.price > limit {
        continue;
    } else if let Some(price) = seen.get(order.name) {
        total = total + price * 2;
    } else {
        seen.insert("größe", order.price);
        count += 1;
    }
}
while total > 1000.0 { total = total / 2.0; }
let label = match count { 0 => "none", n if n > 1 => "many", _ => "one" };
loop { total -= 1.0; if total < 0.0 { break; } }
''', '''fn sum(items: Vec<Order>, most: u32) -> f64 {
    0.0
}
let mut result = 0.0;
let mut n = 0;
for item in items.iter() {
    if item.price <= most {
        match known.get(item.name) {
            Some(price) => { result = result + price * 2; }
            None => { known.insert("größe", item.price); n += 1; }
        }
    }
}
while result > 1000.0 { result = result / 2.0; }
let label = if n == 0 { "none" } else { "some" };
'''),
    "php": ('''<?php
/* Totals. */
function sum(array $orders, int $limit = 10): float {
    $total = 0;
    $count = 0;
    $seen = [];
    foreach ($orders as $order) {
        if ($order->price > $limit) {
            continue;
        } elseif (isset($seen[$order->name])) {
            $total += $order->price * 2;
        } else {
            $seen[$order->name] = $order->price;
            $count++;
        }
    }
    for ($i = 0; $i < $count; $i++) {
        $total = $total + $seen["größe$i"];
    }
    while ($total > 1000) { $total = $total / 2; }
    return $total; // done
}
''', '''<?php
function sum($items, $most) {
    $result = 0.0;
    $n = 0;
    $known = array();
    foreach ($items as $key => $item) {
        if ($item->price <= $most) {
            if (array_key_exists($item->name, $known)) { $result += $item->price * 2; }
            else { $known[$item->name] = $item->price; $n++; }
        }
    }
    for ($i = 0; $i < $n; $i++) $result = $result + $known['größe' . $i];
    while ($result > 1000) $result /= 2;
    return $result;
}
'''),
    "ruby": ('''# Totals.
class Totals
  def sum(orders, limit: 10, rate:)
    total, count = 0, 0
    seen = {}
    for order in orders
      if order.price > limit
        next
      elsif seen.key?(order.name)
        total += order.price * 2
      else
        seen[order.name] = order.price
        count += 1
      end
    end
    total = total / 2 while total > 1000
    until count.zero?
      count -= 1
    end
    label = case count
            when 0 then "größe"
            else "other #{count}"
            end
    orders.each { |one| total = total + one.price unless one.nil? }
    total
  end
end
''', '''class Totals
  def sum(items, most = 10)
    result = 0
    n = 0
    known = Hash.new
    items.each do |item|
      next if item.price > most
      if known.key?(item.name)
        result += item.price * 2
      else
        known[item.name] = item.price
        n += 1
      end
    end
    result /= 2 while result > 1000
    name = n.zero? ? "größe" : "other"
    result
  end
end
'''),
}

# Without a data flow: what the first text holds is defined nowhere, and nothing comes from it.
BARE = {
    "python": ("pass", "import os"),
    "java": ("", "import java.util.List;"),
    "c_sharp": ("", "using System;"),
    "c": ("", "#include <stdio.h>"),
    "cpp": ("", "namespace a {}"),
    "javascript": ("", "debugger;"),
    "go": ("", "package main"),
    "rust": ("", "mod a;"),
    "php": ("<?php", "<?php return;"),
    "ruby": ("", "nil"),
}


def pairs(language):
    """(hypothesis, reference): the same, another way, cut off, damaged, and degenerate ones."""
    reference, other = SAMPLES[language]
    third = len(reference) // 3
    renamed = reference.replace("total", "amount").replace("count", "a_number")
    damaged = reference.replace(")", "", 2).replace("{", "[", 1) + "\n@ $ }"
    bare, other_bare = BARE[language]
    whole = [
        (other, reference), (reference, reference), (renamed, reference), (reference, other),
        ("", reference), (other, bare), (other_bare, bare),
        ("  " + " ".join(other.split()) + "\n", " ".join(reference.split())),
    ]
    # The grammars of JavaScript here and in the package differ in how they recover from errors.
    broken = [] if language == "javascript" else [
        (reference[: 2 * third], reference), (damaged, reference), (reference, damaged),
        (reference[third:], other),
    ]
    return whole + broken

"""Units of measure and how they convert. Data only, folded: lower-case, no accents."""

_NAMES: dict[tuple[str, float], str] = {
    ("%", 1): "% percent prozent pourcent por_ciento percento procent",
    ("length", 0.001): "mm millimetre millimeter millimetres millimeters",
    ("length", 0.01): "cm centimetre centimeter centimetres centimeters zentimeter",
    ("length", 1): "m metre meter metres meters metro metros metri",
    ("length", 1000): "km kilometre kilometer kilometres kilometers kilometros chilometri",
    ("length", 0.3048): "ft foot feet",
    ("length", 1609.344): "mile miles",
    ("length", 0.0254): "inch inches",
    ("mass", 0.001): "mg milligram milligrams milligramm",
    ("mass", 1): "g gram grams gramm gramme grammes",
    ("mass", 1000): "kg kilogram kilograms kilogramm kilo kilos",
    ("mass", 453.59237): "lb lbs pound_weight",
    ("volume", 0.001): "ml millilitre milliliter millilitres milliliters",
    ("volume", 1): "l litre liter litres liters litro litros litri",
    ("time", 1): "second seconds sec secs sekunde sekunden seconde secondes segundo segundos secondo secondi",
    ("time", 60): "minute minutes min mins minuten minuto minutos minuti",
    ("time", 3600): "hour hours hr hrs h stunde stunden heure heures hora horas ora ore uur uren",
    ("time", 86400): "day days tag tage tagen jour jours dia dias giorno giorni dag dagen",
    ("time", 604800): "week weeks woche wochen semaine semaines semana semanas settimana settimane weken",
    ("months", 1): "month months monat monate monaten mois mes meses mese mesi maand maanden",
    ("months", 12): "year years jahr jahre jahren an ans annee annees ano anos anno anni jaar jaren",
    ("temperature", 1): "°c celsius",
    ("fahrenheit", 1): "°f fahrenheit",
    ("usd", 1): "$ usd dollar dollars us$",
    ("eur", 1): "€ eur euro euros",
    ("gbp", 1): "£ gbp pound pounds",
    ("chf", 1): "chf franken francs",
    ("yen", 1): "¥ jpy yen",
    ("data", 1): "kb kilobyte kilobytes",
    ("data", 1000): "mb megabyte megabytes",
    ("data", 1_000_000): "gb gigabyte gigabytes",
}
UNITS = {
    name.replace("_", " "): (dimension, factor)
    for (dimension, factor), names in _NAMES.items()
    for name in names.split()
}
"""Name -> what it measures, and how many of the base unit it is."""

DIMENSIONS = frozenset(dimension for dimension, _ in UNITS.values())

MULTIPLIERS = {
    "hundred": 100, "thousand": 1_000, "k": 1_000, "tausend": 1_000, "mille": 1_000, "mil": 1_000, "duizend": 1_000,
    "million": 10**6, "millions": 10**6, "mn": 10**6, "millionen": 10**6, "millon": 10**6, "millones": 10**6,
    "milioni": 10**6, "miljoen": 10**6, "milhoes": 10**6, "mio": 10**6,
    "billion": 10**9, "billions": 10**9, "bn": 10**9, "milliarde": 10**9, "milliarden": 10**9, "milliard": 10**9,
    "milliards": 10**9, "miliardi": 10**9, "miljard": 10**9, "mrd": 10**9,
    "trillion": 10**12, "trillions": 10**12,
}  # fmt: skip

NUMBER_WORDS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
    "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18,
    "nineteen": 19, "twenty": 20,
    "zero": 0, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
    "zwei": 2, "drei": 3, "vier": 4, "funf": 5, "sechs": 6, "sieben": 7, "acht": 8, "neun": 9, "zehn": 10, "zwolf": 12,
    "deux": 2, "trois": 3, "quatre": 4, "cinq": 5, "sept": 7, "huit": 8, "neuf": 9, "dix": 10, "douze": 12,
    "dos": 2, "tres": 3, "cuatro": 4, "cinco": 5, "seis": 6, "siete": 7, "ocho": 8, "nueve": 9, "diez": 10,
    "tre": 3, "quattro": 4, "cinque": 5, "sette": 7, "otto": 8, "dieci": 10,
    "twee": 2, "drie": 3, "vijf": 5, "zes": 6, "zeven": 7, "negen": 9, "tien": 10, "twaalf": 12,
}  # fmt: skip
"""Without "one": in most languages it is the article as well."""

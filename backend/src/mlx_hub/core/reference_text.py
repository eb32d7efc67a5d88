"""A text in plain English on which models are measured and compared when nobody names rows of their own."""

REFERENCE_PARAGRAPHS = (
    "The harbour wakes before the town does. At four in the morning the first boats come in, low in the water, and men in "
    "yellow coats lift the boxes onto the stones. The ice has half melted by then. A woman from the cooperative walks along "
    "the row with a lamp and a notebook, counts, and writes down the weight of each kind of fish and the name of the boat.",
    "To bake a loaf of bread you need flour, water, salt and time. Mix five hundred grams of flour with three hundred and "
    "fifty grams of water and let it stand for half an hour. Then add ten grams of salt and a little yeast, fold the dough "
    "four times, and leave it in a cool place until the next day. Bake it in a hot oven until the crust is dark.",
    "A bicycle stays upright because its front wheel steers into a fall. When the frame leans to the left, the wheel turns "
    "to the left, the tyres move back under the weight, and the rider rises again. This works only while the bicycle moves; "
    "the slower it goes, the larger the movements have to be, and a child who learns it has to learn to hurry a little.",
    "The committee met on the second Tuesday of March. It approved the minutes of the last meeting, heard the report on the "
    "repair of the roof, and decided by seven votes to two that the library should stay open on Saturdays. The treasurer "
    "asked the members to hand in their receipts before the end of the month, as the year's accounts are due in April.",
    "What is the difference between weather and climate? Weather is what happens on one day in one place: rain in the "
    "morning, sun after lunch, wind from the west. Climate is the pattern of many years. One cold winter says little about "
    "the climate, just as one lost game says little about a team, but thirty winters together say a good deal.",
    "def count_words(text):\n    counts = {}\n    for word in text.lower().split():\n"
    "        counts[word] = counts.get(word, 0) + 1\n    return counts\n\nThe function above goes through the words of a text "
    "one by one. For each it looks up how often it was seen before, adds one, and stores the new number. At the end the "
    "dictionary holds every word with its count.",
    "Dear Ruth, thank you for the photographs. I had forgotten that the house was once blue, and that there was a walnut tree "
    "where the garage stands now. Father says that it was felled in the year of the flood; I would have sworn it was later. "
    "We shall be at home all of August. Bring the children, and bring boots, because the path to the lake is as it always was.",
    "Light needs about eight minutes and twenty seconds to travel from the sun to the earth, and a little more than a second "
    "from the moon. From the nearest star beyond the sun it needs over four years. When we look at the sky at night we look "
    "into the past, and into a different past for each point of light, all laid side by side as if they were one moment.",
)

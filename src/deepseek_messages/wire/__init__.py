"""What travels: typed, frozen structs for both sides' JSON. No logic lives here."""

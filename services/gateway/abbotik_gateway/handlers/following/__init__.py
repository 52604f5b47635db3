"""Following rooms: feeds, followers, and the streams that they make."""

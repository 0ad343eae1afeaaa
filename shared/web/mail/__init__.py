"""Mail in two parts that say the same: text for every reader, HTML for comfort."""

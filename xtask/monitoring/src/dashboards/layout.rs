//! Where panels stand on Grafana's grid of 24 columns.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// Columns of the grid.
const COLUMNS: u32 = 24;

/// Places panels one after the other, from the left to the right and from the top to the bottom.
#[derive(Default)]
pub struct Layout {
    x: u32,
    y: u32,
    line_height: u32,
}

impl Layout {
    /// The place of the next panel, Grafana's `gridPos`.
    ///
    /// # Errors
    /// If it is wider than the grid, or has no size.
    pub fn place(&mut self, width: u32, height: u32) -> Result<Value> {
        ensure!((1..=COLUMNS).contains(&width), "a width of {width} is not among 1 to {COLUMNS}");
        ensure!(height > 0, "it has no height");
        if self.x + width > COLUMNS {
            self.end_line();
        }
        let place = json!({"x": self.x, "y": self.y, "w": width, "h": height});
        self.x += width;
        self.line_height = self.line_height.max(height);
        Ok(place)
    }

    /// The place of a heading, which has a line of its own.
    pub fn place_heading(&mut self) -> Value {
        self.end_line();
        let place = json!({"x": 0, "y": self.y, "w": COLUMNS, "h": 1});
        self.y += 1;
        place
    }

    fn end_line(&mut self) {
        self.x = 0;
        self.y += std::mem::take(&mut self.line_height);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_when_the_next_panel_has_no_room() {
        let mut layout = Layout::default();
        let at = |place: Value| (place["x"].as_u64(), place["y"].as_u64());
        assert_eq!(at(layout.place_heading()), (Some(0), Some(0)));
        assert_eq!(at(layout.place(12, 8).unwrap()), (Some(0), Some(1)));
        assert_eq!(at(layout.place(12, 4).unwrap()), (Some(12), Some(1)));
        assert_eq!(at(layout.place(8, 8).unwrap()), (Some(0), Some(9)));
        assert_eq!(at(layout.place_heading()), (Some(0), Some(17)));
        assert!(layout.place(25, 8).is_err());
    }
}

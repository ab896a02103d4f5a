// What a debugger of Rust meets: structs, tuples, enums with and without data, references, slices.
use std::io::Write;

#[derive(Clone, Copy)]
pub enum Color {
    Red,
    Green = 5,
}

pub struct Point {
    pub x: f64,
    pub y: f64,
}

pub struct Pair(i32, u8);

pub enum Shape {
    Empty,
    Circle { center: Point, radius: f32 },
    Square(i64, Color),
}

pub trait Area {
    fn area(&self, scale: f64) -> f64;
}

impl Area for Shape {
    #[inline(never)]
    fn area(&self, scale: f64) -> f64 {
        let _ = std::io::stdout().write(b"shape\n");
        match self {
            Shape::Empty => 0.0,
            Shape::Circle { radius, .. } => 3.0 * f64::from(*radius) * f64::from(*radius) * scale,
            Shape::Square(side, _) => (side * side) as f64 * scale,
        }
    }
}

pub mod outer {
    pub static COUNTER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(7);

    #[inline(never)]
    pub fn look<T: super::Area>(
        shapes: &[T],
        name: &str,
        pair: &super::Pair,
        maybe: Option<&i32>,
        none: Option<Box<i32>>,
        letter: char,
    ) -> f64 {
        let mut sum = 0.0;
        for shape in shapes {
            sum += shape.area(0.5);
        }
        COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        sum + name.len() as f64
            + f64::from(pair.0 + i32::from(pair.1))
            + f64::from(*maybe.unwrap_or(&0))
            + f64::from(none.map_or(1, |x| *x))
            + f64::from(letter as u32)
    }
}

fn main() {
    let number = 31;
    let color = Color::Green;
    let array = [1u16, 2, 3];
    let tuple = (23, 25.5);
    let shapes = [
        Shape::Circle { center: Point { x: 1.5, y: -2.0 }, radius: 2.5 },
        Shape::Square(4, color),
        Shape::Empty,
    ];
    let sum = outer::look(&shapes, "three", &Pair(7, 8), Some(&number), None, 'q');
    std::process::exit(i32::from(array[0] + tuple.0 > sum as u16));
}

// What a debugger of C++ meets: classes with bases, enumerations, templates, references, macros.
#include <unistd.h>

#define SIDES      4
#define TWICE(x)   ((x) * 2)
#define ALL_SIDES  TWICE(SIDES)

namespace geo {

enum Level { LOW, HIGH };
enum class Color : unsigned char { Red, Green = 5 };
enum Flags { BOLD = 1, WIDE = 2, TALL = 4 };

static long counter = 3;

struct Point {
    double x, y;
};

class Shape {
public:
    Shape(const char *name, Color color) : name(name), color(color) {}
    virtual ~Shape() {}
    virtual double area(double scale) const = 0;
    const char *name;
    Color color;
    Level level = HIGH;
    Flags flags = Flags(BOLD | TALL);
};

class Circle : public Shape {
public:
    Circle(Point center, float radius) : Shape("circle", Color::Green), center(center), radius(radius) {}
    double area(double scale) const override;
    Point center;
    float radius;
};

double __attribute__((noinline)) Circle::area(double scale) const
{
    static int calls = 41;
    calls++;
    counter++;
    write(1, name, 6);
    return 3.0 * radius * radius * scale;
}

template <typename T, int N> struct Box {
    T items[N];
    T __attribute__((noinline)) last() const
    {
        __asm__ volatile("");
        return items[N - 1];
    }
};

} // namespace geo

typedef int (*operation)(int left, long right);

static int __attribute__((noinline)) add(int left, long right)
{
    return left + static_cast<int>(right);
}

static int __attribute__((noinline)) measure(const geo::Shape &shape, const geo::Box<int, SIDES> &box)
{
    operation apply = add;
    double area = shape.area(0.5);
    return apply(static_cast<int>(area), box.last());
}

int main()
{
    geo::Circle circle({1.5, -2}, 2.5F);
    geo::Box<int, SIDES> box = {{2, 3, 5, 7}};
    return measure(circle, box) == 16 ? 0 : 1;
}
